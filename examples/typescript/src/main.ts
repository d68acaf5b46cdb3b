// A command for each thing that a caller does:
//
//   get ACCOUNT [SCOPE…]       a token, whose length is printed
//   replace ACCOUNT VERSION    the token after one that the provider's API answered with 401
//   watch ACCOUNT              changes, until the account provides no token any more
//   events COUNT               connected accounts, until COUNT events have been consumed

import { connect, type Settings } from "./connection.js";
import { consume } from "./events.js";
import { CallFailed, type Failure } from "./failure.js";
import type { OnRetry } from "./retry.js";
import { AccountState, type AccessToken } from "./stubs/latchkey/token/v1/token.js";
import { Tokens } from "./tokens.js";
import { watch } from "./watch.js";

const USAGE = "get ACCOUNT [SCOPE…] | replace ACCOUNT VERSION | watch ACCOUNT | events COUNT";

const onRetry: OnRetry = ({ failure }, delayMs) => {
  print(`${failure.kind} ${failure.reason}: again in ${(delayMs / 1000).toFixed(1)} s`);
};

async function main([command, ...words]: readonly string[]): Promise<void> {
  const [first, second] = words;
  if (command === "events" && first !== undefined) {
    return printEvents(Number(first));
  }
  if (first === undefined) {
    return stop(`usage: ${USAGE}`);
  }
  const client = await connect(settings());
  const tokens = new Tokens(client, onRetry);
  try {
    if (command === "get") {
      printToken(await tokens.get(first, words.slice(1)));
    } else if (command === "replace" && second !== undefined) {
      printToken(await tokens.replaceAfter401(first, BigInt(second)));
    } else if (command === "watch") {
      for await (const { state, version, token, reason } of watch(client, first, onRetry)) {
        const about = token ? describe(token) : reason;
        print(`${AccountState[state]} version ${version} ${about}`.trimEnd());
        if (state !== AccountState.ACTIVE) {
          break;
        }
      }
    } else {
      stop(`usage: ${USAGE}`);
    }
  } finally {
    client.close();
  }
}

async function printEvents(count: number): Promise<void> {
  let left = count;
  await new Promise<void>((resolve, reject) => {
    const consumer = consume(variable("AMQP_URL"), "example.typescript", {
      "account.connected.v1": async (event, id) => {
        const { handle, provider } = event.identity ?? {};
        print(`event ${id}: ${handle} at ${provider} is account ${event.accountId}`);
        left -= 1;
        if (left === 0) {
          consumer.then((running) => running.close()).then(resolve, reject);
        }
      },
    });
    consumer.then(() => print("waiting for account.connected.v1"), reject);
  });
}

/** What a product does about each failure. */
function explain(failure: Failure): string {
  switch (failure.kind) {
    case "SignInAgain":
      return failure.missingScopes.length > 0
        ? `ask the person to grant ${failure.missingScopes.join(" ")}`
        : "stop the account's work and ask the person to sign in again";
    case "RetryLater":
      return "put the job back into its queue";
    case "NotFound":
      return "forget the account";
    case "NotAllowed":
      return "ask the operator for a rule, a certificate or a token";
    case "InvalidRequest":
      return "correct this program";
    case "OperatorProblem":
      return "tell the operator; the person need not do anything";
  }
}

function settings(): Settings {
  return {
    address: variable("LATCHKEY_TOKEN_ADDRESS"),
    authority: variable("LATCHKEY_TOKEN_CA"),
    certificate: variable("LATCHKEY_TOKEN_CERT"),
    key: variable("LATCHKEY_TOKEN_KEY"),
    tokenFile: process.env["LATCHKEY_CALLER_TOKEN_FILE"],
  };
}

function variable(name: string): string {
  return process.env[name] || stop(`set ${name}`);
}

function stop(message: string): never {
  console.error(message);
  process.exit(2);
}

function printToken(token: AccessToken): void {
  print(`version ${token.version} ${describe(token)}`);
}

/** Never the token itself. */
function describe(token: AccessToken): string {
  const seconds = Math.round(((token.expiresAt?.getTime() ?? 0) - Date.now()) / 1000);
  return `${token.tokenType} token of ${token.accessToken.length} characters for ${seconds} s`;
}

function print(line: string): void {
  console.log(line);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof CallFailed)) {
    throw error;
  }
  print(error.message);
  print(`→ ${explain(error.failure)}`);
  process.exitCode = 1;
}
