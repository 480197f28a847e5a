// Fetches the compiled contracts the demo world deploys, and writes them in one shape.
//
//   node tools/fetch-contracts.mjs [OUT_DIR]          default OUT_DIR: .cache/contracts
//
// For each package in contracts.lock.json: `npm pack`, sha512 of the tarball against the lock, extraction of
// the named files only. Each artifact becomes OUT_DIR/<Name>.json = {name, package, version, bytecode, links}.
// Link slots are filled with zeros, so that the bytecode is plain hex; `links` says where the addresses go
// (byte offsets). The agent compares keccak256 of that init code with the lock before it deploys anything.
// Nothing is installed and no script of a package runs.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const TOOLS = dirname(fileURLToPath(import.meta.url));
const PACK_TIMEOUT_MS = 300_000;
const PACK_ATTEMPTS = 3;
const ADDRESS_BYTES = 20;

function main() {
  const outDir = resolve(process.argv[2] ?? join(TOOLS, "..", ".cache", "contracts"));
  const lock = JSON.parse(readFileSync(join(TOOLS, "contracts.lock.json"), "utf8"));
  const scratch = mkdtempSync(join(tmpdir(), "tidekeeper-contracts-"));
  try {
    mkdirSync(outDir, { recursive: true });
    for (const [spec, entries] of byPackage(lock)) {
      const root = fetchPackage(spec, entries, scratch);
      for (const entry of entries) writeContract(entry, root, outDir);
      console.log(`contracts: ${spec}: ${entries.map((entry) => entry.name).join(", ")}`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Groups lock entries by name@version: a package is downloaded once. */
function byPackage(lock) {
  const packages = new Map();
  for (const entry of lock) {
    const spec = `${entry.package}@${entry.version}`;
    packages.set(spec, [...(packages.get(spec) ?? []), entry]);
  }
  return packages;
}

/** Downloads one tarball, proves it is the locked one and returns the directory with the chosen files. */
function fetchPackage(spec, entries, scratch) {
  const dir = mkdtempSync(join(scratch, "pack-"));
  const tarball = join(dir, pack(spec, dir));
  const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  for (const entry of entries) {
    if (entry.integrity !== integrity) {
      throw new Error(`${spec}: tarball is ${integrity}, the lock wants ${entry.integrity} for ${entry.name}`);
    }
  }
  execFileSync("tar", ["-xzf", tarball, "-C", dir, ...entries.map((entry) => `package/${entry.path}`)]);
  return join(dir, "package");
}

/** Runs `npm pack` and returns the tarball's file name; a broken connection is tried again. */
function pack(spec, dir) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = execFileSync(
        "npm",
        ["pack", spec, "--json", "--ignore-scripts", "--loglevel=error", "--pack-destination", dir],
        { cwd: dir, encoding: "utf8", timeout: PACK_TIMEOUT_MS, stdio: ["ignore", "pipe", "inherit"] },
      );
      return JSON.parse(answer)[0].filename;
    } catch (error) {
      if (attempt === PACK_ATTEMPTS) throw new Error(`npm pack ${spec} failed ${attempt} times`, { cause: error });
      console.error(`contracts: npm pack ${spec} failed, trying again (${attempt}/${PACK_ATTEMPTS})`);
    }
  }
}

function writeContract(entry, root, outDir) {
  const artifact = JSON.parse(readFileSync(join(root, entry.path), "utf8"));
  const links = linksOf(artifact);
  const bytecode = withZeroSlots(rawBytecode(artifact), links);
  if (!/^0x(?:[0-9a-f]{2})+$/.test(bytecode)) throw new Error(`${entry.name}: bytecode is not plain hex`);
  const contract = { name: entry.name, package: entry.package, version: entry.version, bytecode, links };
  const target = join(outDir, `${entry.name}.json`);
  writeFileSync(`${target}.part`, `${JSON.stringify(contract)}\n`);
  renameSync(`${target}.part`, target);
}

/** Creation code as 0x hex. Waffle and Hardhat keep a string in `bytecode`, Foundry an object; Waffle has no 0x. */
function rawBytecode(artifact) {
  const code = typeof artifact.bytecode === "object" ? artifact.bytecode.object : artifact.bytecode;
  return code.startsWith("0x") ? code : `0x${code}`;
}

/** Link slots from `linkReferences`: {file: {library: [{start, length}]}}, byte offsets into the creation code. */
function linksOf(artifact) {
  const references = artifact.linkReferences ?? artifact.bytecode?.linkReferences ?? {};
  return Object.values(references).flatMap((libraries) =>
    Object.entries(libraries).flatMap(([library, slots]) =>
      slots.map(({ start, length }) => ({ library, start, length })),
    ),
  );
}

function withZeroSlots(bytecode, links) {
  return links.reduce((code, { library, start, length }) => {
    if (length !== ADDRESS_BYTES) throw new Error(`link to ${library} is ${length} bytes long`);
    const from = 2 + 2 * start;
    return code.slice(0, from) + "00".repeat(length) + code.slice(from + 2 * length);
  }, bytecode);
}

main();
