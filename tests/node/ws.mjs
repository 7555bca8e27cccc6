// node ws.mjs URL TOKEN QUERY COUNT: the first COUNT results of a subscription by the graphql-ws client, one JSON a line.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token, query, count] = process.argv.slice(2);
const client = createClient({
  url, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: { authorization: `Bearer ${token}` },
});
let left = Number(count);
try {
  for await (const result of client.iterate({ query })) {
    console.log(JSON.stringify(result));
    if (--left <= 0) break;
  }
} catch (error) {
  console.log(JSON.stringify({ closed: error.code ?? null, errors: Array.isArray(error) ? error : undefined }));
}
await client.dispose();
