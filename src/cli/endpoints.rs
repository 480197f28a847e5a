//! The way to a chain: its endpoints, and the first of them that answers as it should.
//!
//! No finding ever holds an endpoint's address, since that may carry a key.

use crate::cli::findings::{Report, Status};
use crate::config::chain::{Chain, Endpoint, UrlSource};
use crate::io::chain::ChainClient;
use crate::io::clock;
use crate::model::chain::BlockRef;
use crate::model::time::Timestamp;
use crate::run::agent::variable;

/// Block times are whole seconds and stamped when the block was begun.
const CHAIN_CLOCK_ROOM_MS: u64 = 2_000;

/// A chain's endpoint that answers as it should.
pub(super) struct Reached {
    pub(super) client: ChainClient,
    /// Its newest block when it was asked.
    pub(super) head: BlockRef,
}

/// Looks at every endpoint of a chain and gives the first good one. One whose variable is not set
/// is passed over in silence: the caller tells of variables.
pub(super) async fn first_good(report: &mut Report, chain: &Chain) -> Option<Reached> {
    let mut first = None;
    for endpoint in &chain.endpoints {
        let at = format!("endpoint {}/{}", chain.name, endpoint.name);
        report.look(&at);
        let found = answer(report, &at, chain, endpoint).await;
        first = first.or(found);
    }
    first
}

/// Where the address of an endpoint stands, for people; never the address.
pub(super) fn place(source: &UrlSource) -> String {
    match source {
        UrlSource::Env(name) => format!("the URL in {name}"),
        UrlSource::Plain(_) => "the URL in the chain's file".to_owned(),
    }
}

/// A chain of which no endpoint answers: none of what stands in its file was asked for.
pub(super) fn unreached(report: &mut Report, chain: &Chain) {
    let place = |endpoint: &Endpoint| format!("{} ({})", endpoint.name, place(&endpoint.http));
    let places: Vec<String> = chain.endpoints.iter().map(place).collect();
    let found = "no endpoint of it is set and answers: none of its addresses was asked for";
    let remedy = format!("set or mend one of its endpoints: {}", places.join(", "));
    report.bad(Status::Fail, format!("chain {}", chain.name), found, remedy);
}

async fn answer(
    report: &mut Report,
    at: &str,
    chain: &Chain,
    endpoint: &Endpoint,
) -> Option<Reached> {
    let place = place(&endpoint.http);
    let url = match &endpoint.http {
        UrlSource::Plain(url) => Some(url.clone()),
        UrlSource::Env(name) => variable(name),
    };
    let client = ChainClient::new(&url?).map(|c| c.paced(endpoint.max_requests_per_s));
    let Ok(client) = client else {
        report.bad(Status::Fail, at, format!("{place} is not a URL"), format!("mend {place}"));
        return None;
    };
    let id = match client.chain_id().await {
        Ok(id) => id,
        Err(error) => {
            report.bad(Status::Fail, at, error.to_string(), format!("check {place} and its node"));
            return None;
        }
    };
    if id != chain.chain_id {
        let found = format!("is chain {id}, the file says {}", chain.chain_id);
        report.bad(Status::Fail, at, found, format!("put the right chain's node into {place}"));
        return None;
    }
    let block = match client.latest().await {
        Ok(block) => block,
        Err(error) => {
            report.bad(Status::Fail, at, error.to_string(), format!("check {place} and its node"));
            return None;
        }
    };
    let time = Timestamp::from_s(i64::try_from(block.header.timestamp).unwrap_or(i64::MAX));
    let age_ms = clock::now().ms_since(time);
    let age_ms_max = chain.ingest.stale_after_ms + chain.ingest.block_time_ms + CHAIN_CLOCK_ROOM_MS;
    let found = format!(
        "chain {id}, head {} is {age_ms} ms old, at most {age_ms_max}",
        block.header.number
    );
    if age_ms > i64::try_from(age_ms_max).unwrap_or(i64::MAX) {
        let remedy = "wait until the node has caught up, use another node, or set this clock right";
        report.bad(Status::Fail, at, found, remedy);
    } else {
        report.ok(at, found);
    }
    let head = BlockRef { chain: id, number: block.header.number, hash: block.header.hash };
    Some(Reached { client, head })
}
