//! The operator's chain files against what public deployment lists say.
//!
//! A wrong address loses the money that is sent to it, so each one in a file must be the one that
//! `tests/data/deployments.json` has for that chain and role, and a file says which of them rest on
//! one source. The last test shows that these complaints are made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::Deserialize;
use tidekeeper::config::chain::Token;
use tidekeeper::config::problem::{Origin, Problem};
use tidekeeper::config::{self, Config};

/// Chains with a file, by EIP-155 id; written here too, lest a wrong fixture vouch for a file.
const CHAINS: [(&str, u64); 6] = [
    ("ethereum", 1),
    ("arbitrum", 42_161),
    ("optimism", 10),
    ("base", 8_453),
    ("polygon", 137),
    ("bsc", 56),
];

/// What stands behind an address that only one source names.
const MARK: &str = "# one source";

/// Key in a chain file → role in the deployment lists.
const ROLES: [(&str, &str); 13] = [
    ("dex.uniswap_v2.factory", "uniswap_v2_factory"),
    ("dex.uniswap_v2.router", "uniswap_v2_router02"),
    ("dex.uniswap_v3.factory", "uniswap_v3_factory"),
    ("dex.uniswap_v3.position_manager", "uniswap_v3_nonfungible_position_manager"),
    ("dex.uniswap_v3.router", "uniswap_v3_swap_router"),
    ("dex.uniswap_v3.router02", "uniswap_v3_swap_router02"),
    ("dex.uniswap_v3.quoter", "uniswap_v3_quoter_v2"),
    ("dex.sushiswap_v2.factory", "sushi_v2_factory"),
    ("dex.sushiswap_v2.router", "sushi_v2_router"),
    ("dex.uniswap_v4.manager", "uniswap_v4_pool_manager"),
    ("dex.uniswap_v4.quoter", "uniswap_v4_quoter"),
    ("dex.sushiswap_v3.factory", "sushi_v3_factory"),
    ("dex.sushiswap_v3.quoter", "sushi_v3_quoter"),
];

/// Symbol in a chain file → name in the deployment lists, where they differ.
const TOKEN_NAMES: [(&str, &str); 3] =
    [("WPOL", "WRAPPED_NATIVE"), ("WBNB", "WRAPPED_NATIVE"), ("BTCB", "WBTC")];

#[derive(Deserialize)]
struct Deployments {
    chains: BTreeMap<String, Deployed>,
}

#[derive(Deserialize)]
struct Deployed {
    chain_id: u64,
    native: String,
    contracts: BTreeMap<String, Entry>,
    tokens: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// As the sources write it: the checksum is part of what is compared.
    address: String,
    named_by: BTreeSet<String>,
    also_in: BTreeSet<String>,
    decimals: Option<u8>,
}

impl Entry {
    fn has_one_source(&self) -> bool {
        self.named_by.len() + self.also_in.len() == 1
    }
}

impl Deployed {
    /// The entry that a key of the chain's file speaks of, with its name.
    fn entry(&self, key: &str) -> Option<(&str, &Entry)> {
        let role = ROLES.iter().find(|(ours, _)| *ours == key).map(|(_, role)| *role);
        let (entries, name) = match (role, token_name(key)) {
            (Some(role), _) => (&self.contracts, role),
            (None, Some(token)) => (&self.tokens, token),
            (None, None) => return None,
        };
        entries.get_key_value(name).map(|(name, entry)| (name.as_str(), entry))
    }
}

/// The token that `wrapped_native` or `tokens.*.address` speaks of.
fn token_name(key: &str) -> Option<&str> {
    if key == "wrapped_native" {
        return Some("WRAPPED_NATIVE");
    }
    let symbol = key.strip_prefix("tokens.")?.strip_suffix(".address")?;
    let other = TOKEN_NAMES.iter().find(|(ours, _)| *ours == symbol);
    Some(other.map_or(symbol, |(_, theirs)| *theirs))
}

/// An address as it stands in a chain's file.
struct Written {
    /// From the top of the file, without quotes.
    key: String,
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn deployments() -> Deployments {
    let text = read("tests/data/deployments.json");
    serde_json::from_str(&text).expect("the fixture has the shape of `Deployments`")
}

fn file_of(chain: &str) -> String {
    format!("chains/{chain}.toml")
}

/// The file beside the sample of the keeper itself, as `tidekeeper check` reads them.
fn load(chain: &str, text: &str) -> Result<Config, Vec<String>> {
    let files = [
        (PathBuf::from("agent.toml"), read("agent.toml")),
        (PathBuf::from(file_of(chain)), text.to_owned()),
    ];
    let told = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
    config::load(&files, &|_| None).map_err(told)
}

/// Whether a text is `0x` and as many digits as an address has.
fn is_address(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// What the loader took for a value of this file and looks like an address.
fn written(config: &Config, chain: &str) -> Vec<Written> {
    let scope = format!("chains.{chain}.");
    let addresses = config.settings.iter().filter_map(|(key, setting)| {
        let key = key.strip_prefix(&scope)?.replace('"', "");
        let Origin::File { line, .. } = setting.origin else { return None };
        is_address(&setting.value).then(|| Written { key, line, text: setting.value.clone() })
    });
    addresses.collect()
}

/// Lines that hold an address anywhere, comments included.
fn lines_with_addresses(text: &str) -> BTreeSet<usize> {
    let has_one = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(is_address);
    numbered(text).filter(|(_, line)| has_one(line)).map(|(number, _)| number).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Everything wrong with a chain's file; empty when it is right.
fn complaints(chain: &str, id: u64, text: &str, deployments: &Deployments) -> Vec<String> {
    let Some(deployed) = deployments.chains.get(chain) else {
        return vec![format!("{chain}: the fixture has no such chain")];
    };
    let config = match load(chain, text) {
        Ok(config) => config,
        Err(problems) => return problems,
    };
    let mut wrong = identity(&config, chain, id, deployed);
    let written = written(&config, chain);
    wrong.extend(address_complaints(&written, deployed));
    wrong.extend(mark_complaints(&written, text, deployed));
    wrong.extend(decimal_complaints(&config, deployed));
    wrong.iter().map(|what| format!("{}: {what}", file_of(chain))).collect()
}

fn identity(config: &Config, chain: &str, id: u64, deployed: &Deployed) -> Vec<String> {
    let Some(found) = config.chain(chain) else {
        return vec![format!("is not named {chain}")];
    };
    let mut wrong = Vec::new();
    if found.chain_id != id || deployed.chain_id != id {
        let fixture = deployed.chain_id;
        wrong.push(format!("chain id {}, fixture {fixture}, want {id}", found.chain_id));
    }
    if found.native != deployed.native {
        wrong.push(format!("native coin {}, want {}", found.native, deployed.native));
    }
    wrong
}

/// Each address is the fixture's for its role, letter for letter, and each of the fixture is there.
fn address_complaints(written: &[Written], deployed: &Deployed) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for Written { key, line, text } in written {
        // The loader lets lower case pass; a file that ships has the checksum.
        if Address::parse_checksummed(text, None).is_err() {
            wrong.push(format!("{line}: {key}: {text} has no EIP-55 checksum"));
        }
        match deployed.entry(key) {
            None => wrong.push(format!("{line}: {key}: the fixture does not know it")),
            Some((_, entry)) if entry.address != *text => {
                wrong.push(format!("{line}: {key}: {text}, fixture {}", entry.address));
            }
            Some((name, _)) => {
                used.insert(name);
            }
        }
    }
    let known = deployed.contracts.keys().chain(deployed.tokens.keys());
    let unused = known.filter(|name| !used.contains(name.as_str()));
    wrong.extend(unused.map(|name| format!("{name} is in the fixture and not in the file")));
    wrong
}

/// The mark stands behind what one source names and nowhere else; no address hides elsewhere.
fn mark_complaints(written: &[Written], text: &str, deployed: &Deployed) -> Vec<String> {
    let mut wrong = Vec::new();
    let single = written.iter().filter(|address| {
        deployed.entry(&address.key).is_some_and(|(_, entry)| entry.has_one_source())
    });
    let single: BTreeSet<usize> = single.map(|address| address.line).collect();
    for (number, line) in numbered(text) {
        match (single.contains(&number), line.contains(MARK)) {
            (true, false) => wrong.push(format!("{number}: only one source: write `{MARK}`")),
            (false, true) => wrong.push(format!("{number}: not one source: remove `{MARK}`")),
            _ => {}
        }
    }
    let read: BTreeSet<usize> = written.iter().map(|address| address.line).collect();
    let hidden = lines_with_addresses(text);
    let hidden = hidden.difference(&read);
    wrong.extend(hidden.map(|line| format!("{line}: an address that no key reads")));
    wrong
}

/// An amount is read with the token's decimals: 18 instead of 6 is a factor of a million millions.
fn decimal_complaints(config: &Config, deployed: &Deployed) -> Vec<String> {
    let tokens = config.chains.iter().flat_map(|chain| &chain.tokens);
    let complaint = |(symbol, token): (&String, &Token)| {
        let entry = deployed.entry(&format!("tokens.{symbol}.address"));
        let want = entry.and_then(|(_, entry)| entry.decimals);
        let is_right = want == Some(token.decimals);
        (!is_right).then(|| format!("{symbol}: {} decimals, want {want:?}", token.decimals))
    };
    tokens.filter_map(complaint).collect()
}

#[test]
fn chain_files_say_what_the_deployment_lists_say() {
    let deployments = deployments();
    let found =
        |(chain, id): &(&str, u64)| complaints(chain, *id, &read(&file_of(chain)), &deployments);
    let wrong: Vec<String> = CHAINS.iter().flat_map(found).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_fixture_speaks_of_these_chains_and_every_entry_has_a_source() {
    let deployments = deployments();
    let names: BTreeSet<&str> = deployments.chains.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(CHAINS.map(|(name, _)| name)));
    for (chain, deployed) in &deployments.chains {
        for (name, entry) in deployed.contracts.iter().chain(&deployed.tokens) {
            assert!(!entry.named_by.is_empty(), "{chain}: nobody names {name}");
        }
        // Else the marks of this chain are compared with nothing.
        assert!(deployed.contracts.len() >= 8 && deployed.tokens.len() >= 4, "{chain}");
        let routers = ["uniswap_v3_swap_router", "uniswap_v3_swap_router02"];
        let known = routers.iter().filter(|role| deployed.contracts.contains_key(**role));
        assert_eq!(known.count(), 1, "{chain}: a file names one of V3's routers");
    }
    let entries = deployments.chains.values().flat_map(|d| d.contracts.values());
    assert!(entries.filter(|entry| entry.has_one_source()).count() >= 3);
}

#[test]
fn planted_faults_are_told() {
    let deployments = deployments();
    let weth = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2";
    let v2_factory = "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f";
    let v2_router = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D";
    let base_usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
    let usdc = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
    let quoter = "quoter = \"0x61fFE014bA17989E743c5F6cB21bF9697530B21e\"\n";
    let in_a_comment = format!("discover = false # {base_usdc}");
    let planted = [
        ("chain_id = 1\n", "chain_id = 5\n", "chain id 5"),
        ("native = \"ETH\"", "native = \"POL\"", "native coin POL"),
        ("max_fee_gwei = \"40\"", "max_fee_gwei = \"400\"", "exit_max_fee_gwei"),
        // A letter's case alone: the loader's own checksum.
        (usdc, "0xa0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "wrong checksum"),
        (weth, "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "no EIP-55 checksum"),
        (usdc, base_usdc, "fixture 0xA0b8"),
        (v2_router, v2_factory, "dex.uniswap_v2.router: 0x5C69"),
        ("[tokens.WBTC]", "[tokens.WBTQ]", "tokens.WBTQ.address: the fixture does not know it"),
        ("decimals = 8\n", "decimals = 18\n", "WBTC: 18 decimals, want Some(8)"),
        (MARK, "", "only one source"),
        ("[submission]", "[submission] # one source", "not one source"),
        ("discover = false", in_a_comment.as_str(), "no key reads"),
        (quoter, "", "uniswap_v3_quoter_v2 is in the fixture and not"),
    ];
    let good = read(&file_of("ethereum"));
    for (old, new, want) in planted {
        assert!(good.contains(old), "chains/ethereum.toml has no {old}");
        let text = good.replacen(old, new, 1);
        let told = complaints("ethereum", 1, &text, &deployments).join("\n");
        assert!(told.contains(want), "{old:?} → {new:?}: want {want:?}, have\n{told}");
    }
}
