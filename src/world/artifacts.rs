//! Creation code of third-party contracts: fetched by set-up, never committed, checked before use.
//!
//! Invariant: code leaves here only when its keccak is the one in the committed lock file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use alloy::sol_types::SolValue;
use serde::Deserialize;
use thiserror::Error;

use crate::venues::executor::Executor;

/// What set-up fetched and what each contract's code must hash to.
const LOCK: &str = include_str!("../../tools/contracts.lock.json");

/// Our own executor, built and compared by the tests of `contracts/`.
const EXECUTOR: &str = include_str!("../../contracts/Executor.json");

/// Creation code of our executor: who may rescue, who may run cycles, and where pools of which code
/// come from.
///
/// # Errors
/// When the committed file is not a build product.
pub fn executor_code(
    owner: Address,
    operator: Address,
    dexes: Vec<Executor::Dex>,
) -> Result<Bytes, ArtifactError> {
    #[derive(Deserialize)]
    struct Built {
        bytecode: Bytes,
    }
    let built: Built = serde_json::from_str(EXECUTOR).map_err(ArtifactError::Executor)?;
    let mut code = built.bytecode.to_vec();
    code.extend_from_slice(&(owner, operator, dexes).abi_encode_params());
    Ok(code.into())
}

/// Why a contract cannot be deployed.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The committed lock file is not what this program understands.
    #[error("contracts.lock.json is malformed")]
    Lock(#[source] serde_json::Error),
    /// The committed executor is not a build product.
    #[error("contracts/Executor.json is malformed")]
    Executor(#[source] serde_json::Error),
    /// Set-up has not fetched it.
    #[error("cannot read {}; run set-up first", .path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The fetched file is not what set-up writes.
    #[error("{} is malformed", .path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    /// The fetched code is not the locked one.
    #[error("code of {name} hashes to {found}, the lock says {locked}")]
    Foreign { name: String, found: B256, locked: B256 },
    /// No contract of that name is locked.
    #[error("contract {name} is not in contracts.lock.json")]
    Unknown { name: String },
    /// A library the code refers to was not given, or its place is outside the code.
    #[error("contract {name} needs library {library}")]
    Unlinked { name: String, library: String },
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    keccak256: B256,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    bytecode: Bytes,
    links: Vec<Link>,
}

/// Where a library's address belongs, in bytes from the start of the code.
#[derive(Debug, Deserialize)]
struct Link {
    library: String,
    start: usize,
    length: usize,
}

/// Creation code of all locked contracts, by name.
#[derive(Debug)]
pub struct Artifacts {
    by_name: BTreeMap<String, Artifact>,
}

impl Artifacts {
    /// Reads and checks every locked contract in `dir`, which is the cache's `contracts`.
    ///
    /// # Errors
    /// When a file is absent, malformed, or holds other code than the lock says.
    pub fn load(dir: &Path) -> Result<Self, ArtifactError> {
        let locked: Vec<Locked> = serde_json::from_str(LOCK).map_err(ArtifactError::Lock)?;
        let mut by_name = BTreeMap::new();
        for entry in locked {
            let artifact = read(&dir.join(format!("{}.json", entry.name)))?;
            check(&entry, &artifact)?;
            by_name.insert(entry.name, artifact);
        }
        Ok(Self { by_name })
    }

    /// Creation code without constructor arguments, its libraries put in.
    ///
    /// # Errors
    /// When the contract is not locked or a library is missing.
    pub fn init_code(
        &self,
        name: &str,
        libraries: &[(&str, Address)],
    ) -> Result<Vec<u8>, ArtifactError> {
        let artifact = self
            .by_name
            .get(name)
            .ok_or_else(|| ArtifactError::Unknown { name: name.to_owned() })?;
        let mut code = artifact.bytecode.to_vec();
        for link in &artifact.links {
            fill(&mut code, link, libraries).ok_or_else(|| ArtifactError::Unlinked {
                name: name.to_owned(),
                library: link.library.clone(),
            })?;
        }
        Ok(code)
    }
}

fn read(path: &Path) -> Result<Artifact, ArtifactError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ArtifactError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|source| ArtifactError::Malformed { path: path.to_owned(), source })
}

/// The lock's hash is of the code with zeros where libraries belong.
fn check(entry: &Locked, artifact: &Artifact) -> Result<(), ArtifactError> {
    let (found, locked) = (keccak256(&artifact.bytecode), entry.keccak256);
    if found == locked {
        return Ok(());
    }
    Err(ArtifactError::Foreign { name: entry.name.clone(), found, locked })
}

fn fill(code: &mut [u8], link: &Link, libraries: &[(&str, Address)]) -> Option<()> {
    let (_, address) = libraries.iter().find(|(name, _)| *name == link.library)?;
    let slot = code.get_mut(link.start..link.start.checked_add(link.length)?)?;
    if slot.len() != Address::len_bytes() {
        return None;
    }
    slot.copy_from_slice(address.as_slice());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(links: Vec<Link>) -> Artifacts {
        let artifact = Artifact { bytecode: Bytes::from(vec![0; 32]), links };
        Artifacts { by_name: BTreeMap::from([("A".to_owned(), artifact)]) }
    }

    fn link(start: usize, length: usize) -> Vec<Link> {
        vec![Link { library: "L".to_owned(), start, length }]
    }

    #[test]
    fn library_lands_in_its_slot() {
        let address = Address::repeat_byte(7);
        let code = artifact(link(4, 20)).init_code("A", &[("L", address)]).unwrap();
        assert_eq!(code[4..24], address.as_slice()[..]);
        assert_eq!(code[..4], [0; 4]);
    }

    #[test]
    fn missing_library_and_bad_slot_are_errors() {
        let address = Address::repeat_byte(7);
        assert!(artifact(link(4, 20)).init_code("A", &[]).is_err());
        assert!(artifact(link(20, 20)).init_code("A", &[("L", address)]).is_err());
        assert!(artifact(link(usize::MAX, 20)).init_code("A", &[("L", address)]).is_err());
        assert!(artifact(link(4, 19)).init_code("A", &[("L", address)]).is_err());
        assert!(artifact(Vec::new()).init_code("B", &[]).is_err());
    }

    #[test]
    fn changed_code_is_foreign() {
        let entry = Locked { name: "A".to_owned(), keccak256: keccak256([1]) };
        let artifact = |byte| Artifact { bytecode: Bytes::from(vec![byte]), links: Vec::new() };
        assert!(check(&entry, &artifact(1)).is_ok());
        assert!(matches!(check(&entry, &artifact(2)), Err(ArtifactError::Foreign { .. })));
    }

    #[test]
    fn lock_is_understood_and_names_every_contract_of_the_world() {
        let locked: Vec<Locked> = serde_json::from_str(LOCK).unwrap();
        let names: Vec<&str> = locked.iter().map(|entry| entry.name.as_str()).collect();
        let routers = ["UniswapV2Router02", "SwapRouter", "SwapRouter02"];
        for name in routers.into_iter().chain(["NFTDescriptor", "MockERC20"]) {
            assert!(names.contains(&name), "{name}");
        }
    }
}
