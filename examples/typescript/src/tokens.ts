// Access tokens for connected accounts.

import { Metadata, type CallOptions, type ServiceError } from "@grpc/grpc-js";
import { retrying, type OnRetry } from "./retry.js";
import type { AccessToken, AccountSelector, TokenServiceClient } from "./stubs/latchkey/token/v1/token.js";

/** Deadline of one call. A refresh continues even after its caller has given up. */
const CALL_TIMEOUT_MS = 20_000;
/** How long temporary failures are retried. */
const PATIENCE_MS = 60_000;

export class Tokens {
  constructor(
    private readonly client: TokenServiceClient,
    private readonly onRetry: OnRetry,
  ) {}

  /**
   * A token that is valid for at least another minute. Ask before every call to the provider,
   * and keep no token: refresh-svc answers from memory.
   */
  async get(accountId: string, requiredScopes: readonly string[] = []): Promise<AccessToken> {
    const request = {
      account: byId(accountId),
      minRemaining: { seconds: 60n, nanos: 0 },
      requiredScopes: [...requiredScopes],
    };
    const { token } = await this.call(this.client.getAccessToken, request);
    return present(token);
  }

  /** Replaces a token that the provider's API answered with 401; `refused` is its version. */
  async replaceAfter401(accountId: string, refused: bigint, claims = ""): Promise<AccessToken> {
    const request = { account: byId(accountId), refusedVersion: refused, claims };
    const { token } = await this.call(this.client.refreshAccessToken, request);
    return present(token);
  }

  private call<Request, Response>(
    method: Unary<Request, Response>,
    request: Request,
  ): Promise<Response> {
    const once = () =>
      new Promise<Response>((resolve, reject) => {
        const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
        method.call(this.client, request, new Metadata(), options, (error, response) =>
          error ? reject(error) : resolve(response),
        );
      });
    return retrying(once, PATIENCE_MS, this.onRetry);
  }
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Selects an account by its id. */
export function byId(accountId: string): AccountSelector {
  return { selector: { $case: "accountId", accountId } };
}

function present(token: AccessToken | undefined): AccessToken {
  if (token === undefined) {
    throw new Error("the answer has no token");
  }
  return token;
}
