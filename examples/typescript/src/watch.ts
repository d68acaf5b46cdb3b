// Changes of one account: new tokens, the end of its grant, its disconnection.

import { setTimeout as sleep } from "node:timers/promises";
import { CallFailed, failureOf } from "./failure.js";
import { retryDelayMs, type OnRetry } from "./retry.js";
import type { TokenServiceClient, WatchAccountResponse } from "./stubs/latchkey/token/v1/token.js";
import { byId } from "./tokens.js";

/** A stream that ended with OK is opened again after one to two of these, in milliseconds. */
const REOPEN_AFTER_MS = 500;

/**
 * Yields the present state of the account and then every change, without an end. A stream ends
 * with OK after ten minutes and when the service stops, and another one is opened.
 */
export async function* watch(
  client: TokenServiceClient,
  accountId: string,
  onRetry: OnRetry,
): AsyncGenerator<WatchAccountResponse, never> {
  for (let failures = 0; ; ) {
    const stream = client.watchAccount({ account: byId(accountId) });
    // Without a listener, the error of a stream that is cancelled below would end the process.
    stream.on("error", () => {});
    try {
      for await (const change of stream as AsyncIterable<WatchAccountResponse>) {
        failures = 0;
        yield change;
      }
      await sleep(REOPEN_AFTER_MS * (1 + Math.random()));
    } catch (error) {
      const failed = new CallFailed(failureOf(error));
      failures += 1;
      const delayMs = retryDelayMs(failed, failures);
      if (delayMs === undefined) {
        throw failed;
      }
      onRetry(failed, delayMs);
      await sleep(delayMs);
    } finally {
      stream.cancel();
    }
  }
}
