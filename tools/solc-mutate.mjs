// Breaks contracts/src/Executor.sol one check at a time and runs forge's tests on each break.
//
//   contracts/run.sh mutate           all mutants; exits with 1 if one survives
//   contracts/run.sh mutate TEXT      those whose description contains TEXT
//
// Mutants are found in the source (`if (...) revert`, modifiers) or listed below (halves of
// conditions, and what no check stands for). A listed text that is no longer in the source is an
// error, so the list cannot rot. Works on copies, never on the tree.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const SOURCE = join("contracts", "src", "Executor.sol");
// These look at the code or its price, so any change fails them: no proof of a tested check.
const UNFIT_SUITES = "ProductTest|GasTest";
const N_WORKERS = 2;

const REVERT_LINE = /^( *)if \([^;{]*?\) revert [^;]*;$/gm;
const REVERT_BLOCK = /^( *)if \([^;{]*?\) \{\n *revert [^;]*;\n *\}$/gm;
const HEADER = /function (\w+)\([^)]*\)\s+external[^{;]*\{/g;
const MODIFIER = /\b(onlyOwner|onlyOperator|once)\b/g;

const EMIT = "        emit Cycle(token, amountIn, profit);\n";
const NEXT = "    }\n\n    /// @inheritdoc IExecutor\n    function ";

/** [what, text in the source, replacement]; the text must occur once. */
const LISTED = [
  ["roles: owner may be zero", "owner_ == address(0) || ", ""],
  ["roles: operator may be zero", "operator_ == address(0) || ", ""],
  ["roles: may be the same", " || owner_ == operator_", ""],
  ["dex: any kind", "(dex.kind == V2 || dex.kind == V3) && ", ""],
  ["dex: no factory", "dex.factory != address(0)", "true"],
  ["dex: no code hash", "dex.initCodeHash != 0", "true"],
  ["dex: fee too high", "dex.feePips < PIPS", "true"],
  ["dex: fee off by one", "dex.feePips < PIPS", "dex.feePips <= PIPS"],
  ["lock: never taken", "        _running = true;\n", ""],
  ["lock: never given back", "        _running = false;\n", ""],
  ["deadline: off by one", "block.number > deadlineBlock", "block.number >= deadlineBlock"],
  ["legs: no lower bound", "legs.length < LEGS_MIN || ", ""],
  ["legs: no upper bound", " || legs.length > LEGS_MAX", ""],
  ["callback: not one-shot", "        _expected = 0;\n        (debt", "        (debt"],
  ["callback: data not compared", "keccak256(data) != _expected", "_expected == 0"],
  ["partial fill: less is fine", "taken != int256(debt.amount)", "taken > int256(debt.amount)"],
  ["partial fill: more is fine", "taken != int256(debt.amount)", "taken < int256(debt.amount)"],
  ["partial fill: wrong side", "? amount0Delta : amount1Delta", "? amount1Delta : amount0Delta"],
  ["loss: off by one in own", "if (got < amountIn)", "if (got <= amountIn)"],
  ["loss: off by one in flash", "if (got < debt.amount)", "if (got <= debt.amount)"],
  ["profit: capital may shrink", "holds < operatorHeld || ", ""],
  ["profit: no floor", " || profit < minProfit", ""],
  ["profit: off by one", "profit < minProfit", "profit <= minProfit"],
  [
    "bought: what is held counts too",
    "_balance(leg.tokenOut, address(this)) - held;",
    "_balance(leg.tokenOut, address(this)) - held / 2;",
  ],
  ["bought: what is held counts too, in the callback", " - debt.heldOut;", " - debt.heldOut / 2;"],
  [
    "pay-out: takes what is held",
    "_balance(token, address(this)) - held);",
    "_balance(token, address(this)));",
  ],
  ["pay-out: to the owner", "_send(token, operator, got);", "_send(token, owner, got);"],
  ["rescue: to the operator", "_send(token, owner, amount);", "_send(token, operator, amount);"],
  [
    "pull: twice the amount",
    "(operator, address(this), amount)",
    "(operator, address(this), 2 * amount)",
  ],
  ["pull: more is fine", "got != amount", "got < amount"],
  ["token: revert is fine", "!isDone || ", ""],
  ["token: silence of nobody is fine", "return token.code.length > 0;", "return true;"],
  ["token: silence fails", "return token.code.length > 0;", "return false;"],
  ["token: a short answer is read", "said.length >= 32 && ", ""],
  ["token: false is fine", "abi.decode(said, (uint256)) == 1", "true"],
  ["token: two is fine", "abi.decode(said, (uint256)) == 1", "abi.decode(said, (uint256)) > 0"],
  ["pool: V2 fee ignored", "amount * (PIPS - feePips)", "amount * PIPS"],
  [
    "pool: one unit too little",
    "return net * reserveOut / (reserveIn * PIPS + net);",
    "return net * reserveOut / (reserveIn * PIPS + net) - 1;",
  ],
  [
    "pool: fee tier not in the address",
    "abi.encode(token0, token1, leg.fee)",
    "abi.encode(token0, token1)",
  ],
  [
    "event: gone from flash",
    `${EMIT}${NEXT}own`,
    `${NEXT}own`,
  ],
  [
    "event: gone from own",
    `${EMIT}${NEXT}uniswapV2Call`,
    `${NEXT}uniswapV2Call`,
  ],
];

async function main() {
  const source = readFileSync(join(ROOT, SOURCE), "utf8");
  const wanted = process.argv[2] ?? "";
  const mutants = [...found(source), ...listed(source)].filter(({ what }) => what.includes(wanted));
  const scratch = mkdtempSync(join(tmpdir(), "tidekeeper-mutants-"));
  try {
    const places = Array.from({ length: N_WORKERS }, (_, index) => makePlace(scratch, index));
    const base = await test(places[0], source);
    if (base.outcome !== "SURVIVED") throw new Error(`unbroken, it fails:\n${base.output}`);
    const queue = [...mutants];
    const results = (await Promise.all(places.map((place) => work(place, queue)))).flat();
    process.exitCode = report(results) ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A copy of contracts/ beside a link to the bytecode, as foundry.toml expects it. */
function makePlace(scratch, index) {
  const place = join(scratch, String(index));
  cpSync(join(ROOT, "contracts"), join(place, "contracts"), { recursive: true });
  mkdirSync(join(place, "target", "contracts"), { recursive: true });
  const bytecode = realpathSync(join(ROOT, "target", "contracts", "bytecode"));
  symlinkSync(bytecode, join(place, "target", "contracts", "bytecode"));
  return place;
}

function found(source) {
  const mutants = [];
  for (const pattern of [REVERT_LINE, REVERT_BLOCK]) {
    for (const match of source.matchAll(pattern)) {
      mutants.push(cut(source, match.index, match[0], `no "${oneLine(match[0])}"`));
    }
  }
  for (const { 0: header, 1: name, index } of source.matchAll(HEADER)) {
    for (const modifier of header.matchAll(MODIFIER)) {
      const at = index + modifier.index;
      mutants.push(cut(source, at, modifier[0], `${name} without ${modifier[0]}`));
    }
  }
  return mutants;
}

function cut(source, at, text, what) {
  return { what, text: source.slice(0, at) + source.slice(at + text.length) };
}

function listed(source) {
  return LISTED.map(([what, from, to]) => {
    const isOnce = source.split(from).length === 2;
    if (!isOnce) throw new Error(`"${what}": not once in the source: ${from}`);
    return { what, text: source.replace(from, () => to) };
  });
}

async function work(place, queue) {
  const results = [];
  for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
    const { outcome, killer } = await test(place, mutant.text);
    console.log(`${outcome.padEnd(8)} ${mutant.what}${killer ? ` (${killer})` : ""}`);
    results.push(outcome);
  }
  return results;
}

function test(place, text) {
  writeFileSync(join(place, SOURCE), text);
  const args = ["test", "--no-match-contract", UNFIT_SUITES, "--fail-fast"];
  // Unoptimised code behaves the same and compiles in a third of the time.
  const env = { ...process.env, FOUNDRY_OPTIMIZER: "false" };
  const forge = spawn(process.env.FORGE, args, { cwd: join(place, "contracts"), env });
  let output = "";
  for (const stream of [forge.stdout, forge.stderr]) stream.on("data", (data) => (output += data));
  return new Promise((done, failed) => {
    forge.on("error", failed);
    forge.on("close", (code) => {
      const killer = /\[FAIL[^]*? (\w+)\([\w,[\]]*\) \((?:gas|runs):/.exec(output)?.[1];
      if (code === 0) done({ outcome: "SURVIVED", output });
      else done({ outcome: killer ? "killed" : "INVALID", killer, output });
    });
  });
}

function report(results) {
  const count = (outcome) => results.filter((result) => result === outcome).length;
  const [killed, survived, invalid] = ["killed", "SURVIVED", "INVALID"].map(count);
  const sum = `${killed} killed, ${survived} survived, ${invalid} invalid`;
  console.log(`${results.length} mutants: ${sum}`);
  return killed === results.length;
}

function oneLine(text) {
  return text.trim().replace(/\s+/g, " ");
}

await main();
