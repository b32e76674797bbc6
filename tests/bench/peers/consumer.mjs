// The handler on npm's sqs-consumer, with pools of pg: what a service in Node that handles requests would be.

import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { SQSClient } from "@aws-sdk/client-sqs";
import pg from "pg";
import { Consumer } from "sqs-consumer";

// Requests that are handled at the same time: sqs-consumer handles a batch at once.
const IN_FLIGHT = 8;
const WAIT_SECONDS = 20;

const secrets = new SecretsManagerClient();
const pools = new Map();
let secret;

async function readSecret(SecretId) {
  const read = await secrets.send(new GetSecretValueCommand({ SecretId }));
  return JSON.parse(read.SecretString);
}

async function poolOf({ DBSecret, DBName, DBPort }) {
  secret ??= readSecret(DBSecret);
  const { host, username, password } = await secret;
  if (!pools.has(DBName)) {
    pools.set(
      DBName,
      new pg.Pool({ host, port: DBPort, user: username, password, database: DBName, max: IN_FLIGHT, idleTimeoutMillis: 0 }),
    );
  }
  return pools.get(DBName);
}

async function handle(request) {
  const properties = request.ResourceProperties;
  const session = await (await poolOf(properties)).connect();
  try {
    const { rows } = await session.query({ name: "look", text: "SELECT extname, extversion FROM pg_extension" });
    const installed = new Set(rows.map((row) => row.extname));
    for (const name of properties.Extensions) {
      if (!installed.has(name)) {
        await session.query(`CREATE EXTENSION IF NOT EXISTS ${pg.escapeIdentifier(name)}`);
      }
    }
  } finally {
    session.release();
  }
  const { StackId, RequestId, LogicalResourceId } = request;
  const PhysicalResourceId = properties.DBName;
  const body = JSON.stringify({ Status: "SUCCESS", PhysicalResourceId, StackId, RequestId, LogicalResourceId });
  const response = await fetch(request.ResponseURL, { method: "PUT", body });
  await response.text();
  if (!response.ok) {
    throw new Error(`the response was not accepted: ${response.status}`);
  }
}

const consumer = Consumer.create({
  queueUrl: process.argv[2],
  sqs: new SQSClient(),
  batchSize: IN_FLIGHT,
  waitTimeSeconds: WAIT_SECONDS,
  handleMessage: async (message) => {
    await handle(JSON.parse(message.Body));
    return message;
  },
});
for (const event of ["error", "processing_error"]) {
  consumer.on(event, (error) => {
    throw error;
  });
}
consumer.start();
