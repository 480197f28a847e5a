//! Requests about a strategy's numbers, with somebody at hand who answers as told: each answer has
//! its status, and what is sent is what is described.

use serde_json::{Value, json};
use tidekeeper::api::edits::{
    Answer, Ask, ParameterPreview, Refused, StrategyParameters, StrategyVersion, StrategyVersions,
};
use tidekeeper::config::editable::{Difference, EditProblem, Parameter};
use tokio::sync::mpsc;

use super::openapi::{assert_answer_described, assert_described};
use super::served::Served;

const LP: &str = "/api/v1/strategies/lp";

fn width(before: &str, after: &str) -> Difference {
    let key = "range.half_width_pct".to_owned();
    Difference { key, before: before.into(), after: after.into() }
}

fn problem() -> EditProblem {
    EditProblem::new("range.half_width_pct", "is 96 but must be at most 95", "for example 2.0")
}

fn tell<T>(answer: Answer<T>, told: Result<T, Refused>) {
    assert!(answer.send(told).is_ok(), "the API waits for its answer");
}

fn parameters() -> StrategyParameters {
    let key = Parameter {
        key: "range.half_width_pct".into(),
        value: "4.0".into(),
        kind: "decimal",
        what: "Half of a new range's width, percent of the price.",
    };
    StrategyParameters {
        id: "lp".into(),
        file: "strategies/lp.toml".into(),
        version: 3,
        at_ms: 1_700_000_000_000,
        keys: vec![key],
    }
}

/// Answers for one strategy at version 3; a reason says what goes wrong.
fn answer(ask: Ask) {
    match ask {
        Ask::Parameters { strategy, answer } if strategy != "lp" => {
            tell(answer, Err(Refused::NoSuchStrategy));
        }
        Ask::Parameters { answer, .. } => tell(answer, Ok(parameters())),
        Ask::Preview { changes, answer, .. } => {
            let asked = changes.get("range.half_width_pct").cloned().unwrap_or_default();
            let problems = if asked == "96" { vec![problem()] } else { Vec::new() };
            let then = problems.is_empty().then(|| "in range".to_owned());
            let diff = vec![width("4.0", &asked)];
            tell(answer, Ok(ParameterPreview { problems, diff, now: None, then }));
        }
        Ask::Change { new, answer, .. } => {
            let told = match (new.version, new.reason.as_str()) {
                (3, "the values are wrong") => Err(Refused::Invalid(vec![problem()])),
                (3, "the store is silent") => Err(Refused::Unkept("no answer in 5 s".into())),
                (3, _) => Ok(4),
                (_, _) => Err(Refused::Conflict("version 3 is in force".into())),
            };
            tell(answer, told);
        }
        Ask::Versions { answer, .. } => {
            let (reason, diff) = ("wider".to_owned(), vec![width("4.0", "5.0")]);
            let newest = StrategyVersion { version: 3, at_ms: 5, reason, diff };
            tell(answer, Ok(StrategyVersions { id: "lp".into(), versions: vec![newest] }));
        }
    }
}

async fn served() -> Served {
    let (edits, mut asks) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            answer(ask);
        }
    });
    Served::with_edits(Value::Null, |_| Value::Null, edits).await
}

/// What a request is answered with, which must be described.
async fn post(served: &Served, path: &str, body: &Value) -> (u16, Value) {
    let (status, told) = served.sent(&format!("POST {LP}/{path}"), &body.to_string()).await;
    assert_answer_described(&format!("strategies/{{id}}/{path}"), "post", status, &told);
    (status, told)
}

#[tokio::test]
async fn what_is_told_is_what_is_described() {
    let served = served().await;
    for path in ["parameters", "versions"] {
        let (status, told) = served.sent(&format!("GET {LP}/{path}"), "").await;
        assert_eq!(status, 200, "{told}");
        assert_described(&format!("strategies/{{id}}/{path}"), &told);
    }
    let (status, told) = served.sent("GET /api/v1/strategies/no/parameters", "").await;
    assert_eq!((status, &told["status"]), (404, &json!(404)));
    served.end().await;
}

#[tokio::test]
async fn a_preview_tells_problems_as_part_of_its_answer() {
    let served = served().await;
    let body = |value: &str| json!({ "changes": { "range.half_width_pct": value } });
    let (status, told) = post(&served, "parameters/preview", &body("5.0")).await;
    assert_eq!((status, &told["then"], &told["now"]), (200, &json!("in range"), &Value::Null));
    assert_eq!(told["diff"][0]["after"], "5.0");
    let (status, told) = post(&served, "parameters/preview", &body("96")).await;
    assert_eq!((status, &told["then"]), (200, &Value::Null));
    assert_eq!(told["problems"][0]["fix"], "for example 2.0");
    let (status, told) = post(&served, "parameters/preview", &json!({ "changes": [] })).await;
    assert_eq!((status, &told["problems"]), (422, &json!([])));
    served.end().await;
}

#[tokio::test]
async fn a_change_has_a_status_for_everything_that_may_go_wrong() {
    let served = served().await;
    let body = |version: u64, reason: &str| {
        let changes = json!({ "range.half_width_pct": "5.0" });
        json!({ "version": version, "changes": changes, "reason": reason })
    };
    let (status, told) = post(&served, "parameters", &body(3, "wider")).await;
    assert_eq!((status, told), (202, json!({ "accepted": true, "version": 4 })));
    for (asked, expected) in [
        (body(2, "wider"), 409),
        (body(3, "the values are wrong"), 422),
        (body(3, "the store is silent"), 503),
        (body(3, " a "), 422),
        (body(3, &"a".repeat(201)), 422),
        (json!({ "version": 3, "changes": {}, "reason": "wider", "more": 1 }), 422),
    ] {
        let (status, told) = post(&served, "parameters", &asked).await;
        assert_eq!((status, &told["status"]), (expected, &json!(expected)), "{asked}: {told}");
    }
    let (head, _) = served.told(&format!("POST {LP}/parameters")).await;
    assert!(head.starts_with("HTTP/1.1 415 "), "{head}");
    served.end().await;
}

#[tokio::test]
async fn without_anybody_who_answers_it_says_so() {
    let served = Served::begin(Value::Null, |_| Value::Null).await;
    let (status, told) = served.sent(&format!("GET {LP}/parameters"), "").await;
    assert_eq!((status, &told["status"]), (503, &json!(503)));
    served.end().await;
}
