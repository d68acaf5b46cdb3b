// Commands of a script to the Rust test that runs it: a line that begins with `@`. The test
// responds with `ok` and a value.
import { createInterface } from "node:readline";
import { check } from "./browser.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/// Sends a command and returns the value of its response.
export async function command(text) {
  console.log(`@${text}`);
  const { value } = await lines.next();
  check(value.startsWith("ok "), `${text}: ${value}`);
  return value.slice(3);
}
