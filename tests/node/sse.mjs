// node sse.mjs URL TOKEN QUERY COUNT: the first COUNT results of a subscription by the graphql-sse client, one JSON a line.
import { createClient } from "graphql-sse";

const [url, token, query, count] = process.argv.slice(2);
const client = createClient({ url, retryAttempts: 0, headers: { authorization: `Bearer ${token}` } });
let left = Number(count);
for await (const result of client.iterate({ query })) {
  console.log(JSON.stringify(result));
  if (--left <= 0) break;
}
client.dispose();
