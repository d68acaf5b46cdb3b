// The connection to refresh-svc. A process keeps one for all of its calls.

import { readFile } from "node:fs/promises";
import { credentials, Metadata, type ChannelCredentials } from "@grpc/grpc-js";
import { TokenServiceClient } from "./stubs/latchkey/token/v1/token.js";

export interface Settings {
  /** `host:port` of refresh-svc, or `dns:///host:port`. */
  readonly address: string;
  /** Path of the CA certificate of refresh-svc's certificate, PEM. */
  readonly authority: string;
  /** Paths of this service's certificate and key, PEM. */
  readonly certificate: string;
  readonly key: string;
  /** Path of a Kubernetes service account's token; only if `CALLERS_BY` is not `certificate`. */
  readonly tokenFile?: string | undefined;
}

export async function connect(settings: Settings): Promise<TokenServiceClient> {
  return new TokenServiceClient(settings.address, await channelCredentials(settings), {
    // Calls are distributed over all addresses of the name.
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  });
}

async function channelCredentials(settings: Settings): Promise<ChannelCredentials> {
  const { authority, certificate, key, tokenFile } = settings;
  const mutualTls = credentials.createSsl(
    await readFile(authority),
    await readFile(key),
    await readFile(certificate),
  );
  if (tokenFile === undefined) {
    return mutualTls;
  }
  // Kubernetes replaces the file before the token expires, so each call reads it.
  const serviceAccount = credentials.createFromMetadataGenerator((_call, done) => {
    readFile(tokenFile, "utf8").then(
      (token) => {
        const metadata = new Metadata();
        metadata.set("authorization", `Bearer ${token.trim()}`);
        done(null, metadata);
      },
      (error: Error) => done(error),
    );
  });
  return credentials.combineChannelCredentials(mutualTls, serviceAccount);
}
