//! The spot WebSocket API at `/ws-api/v3`: orders, and the user data stream that replaced listen
//! keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::exchange::auth::Params;
use crate::exchange::call::Call;
use crate::exchange::core::Core;
use crate::exchange::errors::ApiError;
use crate::exchange::{clock, spot_rest, spot_wire};

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(default)]
    params: BTreeMap<String, Box<RawValue>>,
}

/// A parameter as its signer wrote it: strings without their quotes, numbers digit by digit.
fn plain(raw: &RawValue) -> String {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => text,
        Err(_) => raw.get().to_owned(),
    }
}

/// The answer to one message; `None` when its answer is lost on purpose.
pub fn reply(core: &mut Core, socket: u64, text: &str) -> Option<Value> {
    let Ok(message) = serde_json::from_str::<Message>(text) else {
        let error = ApiError::new(-1135, "Invalid JSON Request");
        return Some(json!({"id": null, "status": 400, "error": error.body()}));
    };
    let params = message.params.iter().map(|(name, raw)| (name.clone(), plain(raw)));
    let params = Params::from_pairs(params);
    let call = Call {
        method: message.method.clone(),
        path: "/ws-api/v3".to_owned(),
        payload: params.sorted_payload(),
        key: params.get("apiKey").map(str::to_owned),
        params,
        now_ms: core.stamp(clock::now_ms()),
    };
    let metered = core.spot_meter.request(1, call.now_ms).map_err(|(error, _)| error);
    let answer = metered.and_then(|()| answer(core, socket, &call));
    if message.method == "order.place" && answer.is_ok() && core.loses_ack() {
        return None;
    }
    let limits = json!([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
        "limit": 6_000, "count": core.spot_meter.used_weight()}]);
    Some(match answer {
        Ok(result) => {
            json!({"id": message.id, "status": 200, "result": result, "rateLimits": limits})
        }
        Err(error) => json!({"id": message.id, "status": error.status, "error": error.body(),
            "rateLimits": limits}),
    })
}

fn answer(core: &mut Core, socket: u64, call: &Call) -> Result<Value, ApiError> {
    match call.method.as_str() {
        "ping" => Ok(json!({})),
        "time" => Ok(json!({"serverTime": call.now_ms})),
        "exchangeInfo" => Ok(spot_wire::exchange_info(&core.spot.market.rules, call.now_ms)),
        "order.place" => spot_rest::place(core, call),
        "order.cancel" => spot_rest::cancel(core, call),
        "order.status" => spot_rest::order(core, call),
        "account.status" => spot_rest::account(core, call),
        "userDataStream.subscribe.signature" => {
            let account = call.signed(core)?;
            let followed = core.hub.follow(socket, account);
            let already = |_| ApiError::new(-2035, "User Data Stream subscription already active.");
            Ok(json!({"subscriptionId": followed.map_err(already)?}))
        }
        "userDataStream.unsubscribe" => {
            let subscription = call.params.integer("subscriptionId")?;
            let subscription = subscription.map(|id| u32::try_from(id).unwrap_or(u32::MAX));
            if core.hub.unfollow(socket, subscription) {
                Ok(json!({}))
            } else {
                Err(ApiError::new(-2036, "User Data Stream subscription not active."))
            }
        }
        "userDataStream.subscribe" | "session.logon" => {
            let text =
                "Session logon needs an Ed25519 key; use userDataStream.subscribe.signature.";
            Err(ApiError::with_status(401, -2015, text))
        }
        "userDataStream.start" | "userDataStream.ping" | "userDataStream.stop" => {
            Err(ApiError::with_status(410, -1000, "This method is retired."))
        }
        _ => Err(ApiError::new(-1190, "Unknown method")),
    }
}
