//! The dashboard's files, built into the binary.

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;
use serde::Deserialize;

use super::{Shared, problem};

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
#[allow_missing = true]
struct Files;

/// Shown when the binary was built before the dashboard was.
const NOT_BUILT: &str = "<!doctype html><title>Tidekeeper</title><p>The dashboard is not in this \
     binary: run <code>make demo</code>, which builds it, or use the API.";

#[derive(Deserialize)]
pub(super) struct Entry {
    token: Option<String>,
}

/// The page and its files; the token in the printed address becomes a cookie and leaves the bar.
pub(super) async fn serve(
    State(shared): State<Shared>,
    Query(entry): Query<Entry>,
    uri: Uri,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return problem(
            StatusCode::NOT_FOUND,
            "no such resource",
            "GET /openapi.json lists what there is",
        );
    }
    if let Some(token) = entry.token {
        let Some(cookie) = shared.keys.enter(&token) else {
            let detail = "this address was used, or is of an earlier start: `tidekeeper page` \
                          prints another one";
            return problem(StatusCode::UNAUTHORIZED, "an address opens once", detail);
        };
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    let (file, name) = match Files::get(path) {
        Some(file) => (Some(file), path),
        None => (Files::get("index.html"), "index.html"),
    };
    match file {
        Some(file) => {
            let kind = [(header::CONTENT_TYPE, kind_of(name))];
            (kind, file.data.into_owned()).into_response()
        }
        None => ([(header::CONTENT_TYPE, kind_of("index.html"))], NOT_BUILT).into_response(),
    }
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
