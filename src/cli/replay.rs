//! `replay` and `explain`: a run again, from its journal.

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::columns::table;
use super::db::{Database, PlaceArguments};
use crate::engine::output::{Output, Record};
use crate::run::replay::{self, Moment, Reader, Verdict};
use crate::store::Store;

/// Longest fact or deed printed; the whole stands in the journal.
const SHOWN_MAX: usize = 2_000;
/// Facts between two words of progress.
const TELL_EVERY: u64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The run, by its name in the journal folder; the newest when not given
    run: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Id of the intent, as orders, transactions, cycles and the notes of refusals name it
    intent: Uuid,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Replays a run and says whether it came to the same.
pub(super) async fn replay(
    ReplayArguments { run, place, json }: ReplayArguments,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (reader, head) = Reader::open(&place.state_dir, run.as_deref())?;
    let (name, program) = (head.run.clone(), head.program.clone());
    let (database, store) = open(&place).await?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} facts replayed in {elapsed}") {
        bar.set_style(style);
    }
    let tell = |n: u64| {
        if n.is_multiple_of(TELL_EVERY) {
            bar.set_position(n);
        }
    };
    let compared = tokio::select! {
        biased;
        verdict = replay::compare(reader, head, &store, tell) => Some(verdict),
        _ = stop.changed() => None,
    };
    bar.finish_and_clear();
    store.close().await;
    database.close().await?;
    let Some(verdict) = compared else { bail!("stopped before the end") };
    let verdict = verdict.with_context(|| format!("replaying run {name}"))?;
    if json {
        let is_same = verdict.is_same();
        let told = json!({ "run": name, "program": program, "is_same": is_same,
            "verdict": verdict });
        println!("{told}");
    } else {
        println!("run {name}, written by version {program}");
        print!("{}", told(&verdict));
    }
    if !verdict.is_same() {
        bail!("run {name} does not come to the same again");
    }
    Ok(())
}

fn told(verdict: &Verdict) -> String {
    let Verdict { events, agreed, uncommitted, unwritten, is_cut, altered, differs } = verdict;
    let mut text = format!("{events} facts replayed, {agreed} answers are those committed\n");
    if *is_cut {
        text.push_str("the last line is incomplete: the process ended while writing it\n");
    }
    if *uncommitted > 0 && differs.is_none() {
        text.push_str(&format!("{uncommitted} answers at the end were never committed\n"));
    }
    if *unwritten > 0 {
        text.push_str(&format!("{unwritten} committed answers have no fact in the journal\n"));
    }
    if let Some(seq) = altered {
        text.push_str(&format!("seq {seq}: the first fact that is not what was written\n"));
    }
    if let Some(difference) = differs {
        let or_nothing = |deeds: &Option<String>| match deeds {
            Some(deeds) => cut(deeds),
            None => "nothing".to_owned(),
        };
        text.push_str(&format!(
            "seq {}: the first answer that differs: {}\n  committed: {}\n  replayed:  {}\n",
            difference.seq,
            difference.what,
            or_nothing(&difference.committed),
            or_nothing(&difference.replayed),
        ));
    }
    text
}

/// Prints what the engine knew when it decided an intent, by which figures, what the gate found,
/// and what it answered.
pub(super) async fn explain(
    ExplainArguments { intent, place }: ExplainArguments,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (database, store) = open(&place).await?;
    let found = tokio::select! {
        biased;
        found = store.decided(intent) => Some(found),
        _ = stop.changed() => None,
    };
    store.close().await;
    database.close().await?;
    let Some(found) = found else { bail!("stopped before the end") };
    let (run, seq) = found?.with_context(|| {
        format!("no run of this database decided intent {intent}, or its journal was not kept")
    })?;
    let (reader, head) = Reader::open(&place.state_dir, Some(&run))?;
    let moment = replay::at(reader, head, seq)?
        .with_context(|| format!("the journal of run {run} ends before seq {seq}"))?;
    print!("{}", explained(intent, &run, seq, &moment));
    Ok(())
}

fn explained(intent: Uuid, run: &str, seq: u64, moment: &Moment) -> String {
    let Moment { fact, at, before, output } = moment;
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut text = format!("intent {intent}\nrun {run}, seq {seq}, {}\n", at.utc());
    text.push_str(&format!("\nthe fact\n  {}\n\nthe books before it\n", cut(fact)));
    for book in &before.books {
        let (bid, ask) = (or_unknown(&book.bid), or_unknown(&book.ask));
        let (venue, market) = (&book.venue, &book.market);
        text.push_str(&format!("  {venue} {market}: {bid} / {ask}, {}\n", book.feed));
    }
    text.push_str("\nthe pools before it\n");
    for pool in &before.pools {
        let price = or_unknown(&pool.price);
        let (chain, dex, pair, fee) = (pool.chain_id, &pool.dex, &pool.pair, pool.fee_pips);
        text.push_str(&format!("  {chain} {dex} {pair} {fee} pips: {price}, {}\n", pool.state));
    }
    text.push_str("\nthe gate before it\n");
    text.push_str(&format!("  the keeper: {}\n", before.state.kind));
    for limit in &before.limits {
        let used = or_unknown(&limit.used);
        text.push_str(&format!("  {}: {used} of {} {}\n", limit.name, limit.limit, limit.unit));
    }
    text.push_str(&weighed(intent, output, &before.numeraire));
    text.push_str("\nwhat was decided\n");
    for record in &output.records {
        if let Record::Note { kind, body } = record {
            text.push_str(&format!("  {kind}: {}\n", without_tables(body)));
        }
    }
    for command in &output.commands {
        let command = serde_json::to_string(command).unwrap_or_else(|error| error.to_string());
        text.push_str(&format!("  {}\n", cut(&command)));
    }
    text
}

/// The figures of an intent and what each check of the gate found, as tables.
fn weighed(intent: Uuid, output: &Output, numeraire: &str) -> String {
    let id = intent.to_string();
    let its_note = |record: &Record| match record {
        Record::Note { body, .. } if body["intent"] == id && body["gate"].is_array() => {
            Some((rows(&body["terms"], term_cells), rows(&body["gate"], check_cells)))
        }
        _ => None,
    };
    let Some((mut terms, mut checks)) = output.records.iter().find_map(its_note) else {
        return "\nno note of this fact tells the intent's figures\n".to_owned();
    };
    terms.insert(0, ["term", "value", "unit"].map(str::to_owned));
    checks.insert(0, ["check", "asked", "limit", "result"].map(str::to_owned));
    let (terms, checks) = (table(&terms), table(&checks));
    format!("\nthe terms\n{terms}\nthe gate's checks, in {numeraire}\n{checks}")
}

fn rows<const N: usize>(list: &Value, cells: fn(&Value) -> [String; N]) -> Vec<[String; N]> {
    list.as_array().into_iter().flatten().map(cells).collect()
}

fn term_cells(term: &Value) -> [String; 3] {
    ["name", "value", "unit"].map(|key| text_or_dash(&term[key]))
}

fn check_cells(row: &Value) -> [String; 4] {
    let [check, asked, limit] = ["check", "asked", "limit"].map(|key| text_or_dash(&row[key]));
    let result: String = match &row["result"] {
        // A result with its reason is an object of one key.
        Value::Object(of) => of
            .iter()
            .map(|(result, why)| format!("{}: {}", result.replace('_', " "), text_or_dash(why)))
            .collect(),
        result => text_or_dash(result),
    };
    [check, asked, limit, result]
}

fn text_or_dash(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// A note without what stands in the tables.
fn without_tables(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, _| key != "terms" && key != "gate");
    }
    body
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

async fn open(place: &PlaceArguments) -> Result<(Database, Store)> {
    let database = Database::of(place).await?;
    let store = Store::open_to_read(database.connect.clone()).await.context("opening the store")?;
    Ok((database, store))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Uuid = Uuid::from_u128(1);

    fn note(intent: Uuid, terms: Value, gate: Value) -> Record {
        let body = json!({ "intent": intent, "why": "so", "terms": terms, "gate": gate });
        Record::Note { kind: "intent", body }
    }

    fn output() -> Output {
        let another = note(Uuid::from_u128(2), json!([]), json!([]));
        let terms = json!([
            { "name": "mid", "value": "2000", "unit": "quote per base" },
            { "name": "sigma", "value": "0.5", "unit": "quote per base per root second" },
        ]);
        let gate = json!([
            { "check": "mode", "result": "passed" },
            { "check": "gas_budget", "result": { "not_asked": "an order costs no gas" } },
            { "check": "net_delta", "asked": "12000.5", "limit": "10000",
                "result": { "refused": "net delta would be 12000.5, limit 10000" } },
        ]);
        let its_own = note(ASKED, terms, gate);
        Output { records: vec![another, its_own], commands: Vec::new() }
    }

    #[test]
    fn terms_and_checks_are_told_in_columns() {
        let told = weighed(ASKED, &output(), "USDT");
        let expected = "
the terms
  term   value  unit
  mid    2000   quote per base
  sigma  0.5    quote per base per root second

the gate's checks, in USDT
  check       asked    limit  result
  mode        -        -      passed
  gas_budget  -        -      not asked: an order costs no gas
  net_delta   12000.5  10000  refused: net delta would be 12000.5, limit 10000
";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_fact_without_the_intent_says_so() {
        let told = weighed(Uuid::from_u128(3), &output(), "USDT");
        assert!(told.contains("no note of this fact"), "{told}");
    }

    #[test]
    fn a_note_is_told_without_its_tables() {
        let Record::Note { body, .. } = note(ASKED, json!([]), json!([])) else { panic!() };
        assert_eq!(without_tables(&body), json!({ "intent": ASKED, "why": "so" }));
    }
}
