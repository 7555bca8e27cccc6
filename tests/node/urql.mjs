// node urql.mjs URL TOKEN: urql accepts event streams with every request; a query must still be answered as JSON.
import { Client, cacheExchange, fetchExchange, gql } from "@urql/core";

const [url, token] = process.argv.slice(2);
const client = new Client({
  url, exchanges: [cacheExchange, fetchExchange], preferGetMethod: false, fetchOptions: { headers: { authorization: `Bearer ${token}` } },
});
const result = await client.query(gql`{ members(first: 2) { nodes { id name } } }`, {}).toPromise();
console.log(result.error ? `failed: ${result.error}` : result.data.members.nodes.length);
