// Events of Latchkey, from a queue of one's own at the exchange `latchkey.events`.

import { connect, type Channel, type ChannelModel, type ConsumeMessage } from "amqplib";
import {
  AccountConnected,
  AccountDisconnected,
  AccountReauthRequired,
  ChannelStatusChanged,
  MemberRemoved,
} from "./stubs/latchkey/events/v1/events.js";

const EXCHANGE = "latchkey.events";
/** Events that are handled at the same time. */
const PREFETCH = 16;
/** Deliveries of an event whose handler fails, after which the broker drops it. */
const DELIVERY_LIMIT = 20;

/** The message of each routing key. */
const MESSAGES = {
  "account.connected.v1": AccountConnected,
  "account.reauth_required.v1": AccountReauthRequired,
  "account.disconnected.v1": AccountDisconnected,
  "channel.status_changed.v1": ChannelStatusChanged,
  "member.removed.v1": MemberRemoved,
};

type RoutingKey = keyof typeof MESSAGES;
type Event<Key extends RoutingKey> = ReturnType<(typeof MESSAGES)[Key]["decode"]>;

/**
 * What is done with an event. An event may arrive more than once, always with the same id. If
 * the promise is rejected, the event is delivered again.
 */
export type Handlers = {
  readonly [Key in RoutingKey]?: (event: Event<Key>, id: string) => Promise<void>;
};

export interface Consumer {
  /** Waits for the handlers that are running, and closes the connection. */
  close(): Promise<void>;
}

/** Consumes the events that have a handler. A connection that is lost is opened again. */
export async function consume(url: string, queue: string, handlers: Handlers): Promise<Consumer> {
  const running = new Set<Promise<void>>();
  const deliver = (channel: Channel, message: ConsumeMessage) => {
    const work = handle(channel, message, handlers).finally(() => running.delete(work));
    running.add(work);
  };
  let open: Channel | undefined;
  const connection = await connect(url, {
    recovery: {
      // So that the listener below learns of the first attempts too.
      waitForConnect: false,
      setup: async (model: ChannelModel) => {
        open = await bindAndConsume(model, queue, Object.keys(handlers), deliver);
      },
    },
  });
  const report = (error: Error) => console.error(`RabbitMQ: ${error.message}`);
  connection.on("connect-failed", report);
  connection.on("error", report);
  await connection.waitForConnect();
  return {
    close: async () => {
      await Promise.all(running);
      // The broker answers after it has received every acknowledgement of the channel.
      await open?.close();
      await connection.close();
    },
  };
}

/** Runs after each connection. */
async function bindAndConsume(
  connection: ChannelModel,
  queue: string,
  keys: readonly string[],
  deliver: (channel: Channel, message: ConsumeMessage) => void,
): Promise<Channel> {
  const channel = await connection.createChannel();
  channel.on("error", (error) => console.error(`RabbitMQ: ${error.message}`));
  // Durable and replicated: the queue keeps events while this service is down.
  await channel.assertQueue(queue, {
    durable: true,
    arguments: { "x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT },
  });
  for (const key of keys) {
    await channel.bindQueue(queue, EXCHANGE, key);
  }
  await channel.prefetch(PREFETCH);
  await channel.consume(queue, (message) => {
    if (message) {
      deliver(channel, message);
    }
  });
  return channel;
}

async function handle(channel: Channel, message: ConsumeMessage, handlers: Handlers): Promise<void> {
  const key = message.fields.routingKey;
  let isDone = true;
  try {
    if (isRoutingKey(key)) {
      await dispatch(key, message, handlers);
    }
  } catch (error) {
    console.error(`${key} is delivered again: ${String(error)}`);
    isDone = false;
  }
  try {
    // After the work is done, never before: an event that is not acknowledged is delivered again.
    if (isDone) {
      channel.ack(message);
    } else {
      channel.nack(message);
    }
  } catch {
    // The connection was lost, and the event is delivered again.
  }
}

async function dispatch<Key extends RoutingKey>(
  key: Key,
  message: ConsumeMessage,
  handlers: Handlers,
): Promise<void> {
  const id = String(message.properties.headers?.["cloudEvents:id"]);
  const event = MESSAGES[key].decode(message.content) as Event<Key>;
  await handlers[key]?.(event, id);
}

function isRoutingKey(key: string): key is RoutingKey {
  return Object.hasOwn(MESSAGES, key);
}
