// When and how long to wait before a call is made again.

import { setTimeout as sleep } from "node:timers/promises";
import { CallFailed, failureOf } from "./failure.js";

/** The delays without RetryInfo grow from the first to the last, in milliseconds. */
const FIRST_DELAY_MS = 200;
const LAST_DELAY_MS = 30_000;

/** Learns of each failure after which the call is made again. */
export type OnRetry = (failed: CallFailed, delayMs: number) => void;

/**
 * Calls again after temporary failures, as long as the next call begins within `patienceMs`.
 * Every call of the contract may be repeated.
 */
export async function retrying<T>(
  call: () => Promise<T>,
  patienceMs: number,
  onRetry: OnRetry,
): Promise<T> {
  const giveUpAt = Date.now() + patienceMs;
  for (let failures = 1; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      const failed = new CallFailed(failureOf(error));
      const delayMs = retryDelayMs(failed, failures);
      if (delayMs === undefined || Date.now() + delayMs > giveUpAt) {
        throw failed;
      }
      onRetry(failed, delayMs);
      await sleep(delayMs);
    }
  }
}

/**
 * The delay as RetryInfo says, else a growing one; the number of failures begins with 1.
 * Undefined if a retry does not help.
 */
export function retryDelayMs({ failure }: CallFailed, failures: number): number | undefined {
  if (failure.kind !== "RetryLater") {
    return undefined;
  }
  const growing = Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LAST_DELAY_MS);
  // Callers that failed together do not come back together.
  return (failure.afterMs ?? growing) * (1 + Math.random() / 2);
}
