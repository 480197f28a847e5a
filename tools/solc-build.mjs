// Compiles contracts/src/Executor.sol and writes contracts/Executor.json and abis/Executor.json,
// and compiles the contracts of tests/data/evm and writes their bytecode beside them; or compares
// with what is there.
//
//   node tools/solc-build.mjs           writes all three
//   node tools/solc-build.mjs --check   exits with 1 unless all are, byte for byte, what would be
//                                       written
//
// SOLC_NODE_MODULES names the directory that holds npm's `solc`. The settings are those of
// contracts/foundry.toml; a forge test compares the bytecode, so the two cannot part unnoticed.
// Without metadata the bytecode depends on the code alone, not on comments or paths.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const SOURCE = "src/Executor.sol";
// Contracts that tests put on a chain, each in a file of its name.
const FIXTURES = "tests/data/evm";
const SETTINGS = {
  optimizer: { enabled: true, runs: 10000 },
  evmVersion: "cancun",
  viaIR: false,
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
// For pools only: nobody else calls these.
const CALLBACKS = ["uniswapV2Call", "uniswapV3SwapCallback"];
const ABI_ORDER = ["constructor", "event", "function", "error"];

function main() {
  const product = build();
  const isCheck = process.argv.includes("--check");
  finish("contracts/Executor.json", `${JSON.stringify(product, null, 2)}\n`, isCheck);
  finish("abis/Executor.json", abiFile(product.abi), isCheck);
  finish(`${FIXTURES}/bytecode.json`, `${JSON.stringify(fixtures(), null, 2)}\n`, isCheck);
}

function finish(name, built, isCheck) {
  const path = join(ROOT, name);
  if (!isCheck) {
    writeFileSync(path, built);
    console.log(`solc-build: wrote ${name}`);
  } else if (existsSync(path) && readFileSync(path, "utf8") === built) {
    console.log(`solc-build: ${name} is what the sources compile to`);
  } else {
    console.error(`solc-build: ${name} is stale; run: contracts/run.sh build`);
    process.exitCode = 1;
  }
}

function build() {
  const wanted = ["abi", "evm.bytecode", "evm.deployedBytecode"];
  const compiled = compile(sources("contracts/src", "src/"), { [SOURCE]: { Executor: wanted } });
  const { abi, evm } = compiled.contracts[SOURCE].Executor;
  return {
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
    immutables: immutables(evm.deployedBytecode.immutableReferences),
    solc: compiled.solc,
    settings: SETTINGS,
  };
}

/** Creation and runtime code of the contracts of tests, by name. */
function fixtures() {
  const files = sources(FIXTURES, "");
  const wanted = { "*": { "*": ["evm.bytecode", "evm.deployedBytecode"] } };
  const { contracts, solc } = compile(files, wanted);
  const product = { solc };
  for (const file of Object.keys(files)) {
    const name = file.replace(".sol", "");
    const { bytecode, deployedBytecode } = contracts[file][name].evm;
    product[name] = {
      bytecode: `0x${bytecode.object}`,
      deployedBytecode: `0x${deployedBytecode.object}`,
    };
  }
  return product;
}

function compile(files, outputSelection) {
  const nodeModules = resolve(process.env.SOLC_NODE_MODULES ?? "node_modules");
  const solc = createRequire(import.meta.url)(join(nodeModules, "solc"));
  const settings = { ...SETTINGS, outputSelection };
  const input = { language: "Solidity", sources: files, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).map((error) => error.formattedMessage);
  // The product compiles without warnings, or not at all.
  if (errors.length > 0) throw new Error(errors.join("\n"));
  return { contracts: output.contracts, solc: solc.version() };
}

/** Where `deployedBytecode` has zeros for owner and operator, which the constructor writes. */
function immutables(references) {
  const slots = Object.values(references).flat();
  return slots.sort((one, two) => one.start - two.start);
}

function sources(folder, prefix) {
  const dir = join(ROOT, folder);
  const names = readdirSync(dir).filter((name) => name.endsWith(".sol"));
  const entry = (name) => [`${prefix}${name}`, { content: readFileSync(join(dir, name), "utf8") }];
  return Object.fromEntries(names.sort().map(entry));
}

/** One item a line, as in the other files of abis/: without callbacks and most internal types. */
function abiFile(abi) {
  const items = abi.filter((item) => !CALLBACKS.includes(item.name));
  items.sort((one, two) => ABI_ORDER.indexOf(one.type) - ABI_ORDER.indexOf(two.type));
  return `[\n${items.map((item) => `  ${oneLine(item)}`).join(",\n")}\n]\n`;
}

function oneLine({ type, name, inputs, outputs, stateMutability, anonymous }) {
  const sides = { inputs: inputs?.map(part), outputs: outputs?.map(part) };
  return spaced({ type, name, ...sides, stateMutability, anonymous });
}

function part({ name, type, indexed, internalType, components }) {
  const struct = components && internalType.replace("IExecutor.", "");
  return { name, type, indexed, internalType: struct, components: components?.map(part) };
}

/** JSON with a space after each comma and colon; no name or type holds one of its own. */
function spaced(value) {
  return JSON.stringify(value).replaceAll(":", ": ").replaceAll(",", ", ");
}

main();
