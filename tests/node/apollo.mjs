// node apollo.mjs URL TOKEN: Apollo's cache merges two pages of a connection and keeps past and present of one record apart.
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";

const [uri, token] = process.argv.slice(2);
const cache = new InMemoryCache({ typePolicies: { Query: { fields: { members: relayStylePagination() } } } });
const client = new ApolloClient({ cache, link: new HttpLink({ uri, fetch, headers: { authorization: `Bearer ${token}` } }) });
const query = gql`query ($after: String) { members(first: 2, after: $after) { edges { cursor node { id name } } pageInfo { hasNextPage endCursor } } }`;
const watched = client.watchQuery({ query });
const subscription = watched.subscribe(() => {});
const first = await client.query({ query });
await watched.fetchMore({ variables: { after: first.data.members.pageInfo.endCursor } });
const edges = () => watched.getCurrentResult().data?.members?.edges.length ?? 0;
for (let tries = 0; tries < 1000 && edges() < 4; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
const id = first.data.members.edges[0].node.id;
await client.query({ query: gql`query ($id: ID!) { entity(id: $id, asOf: { position: "5" }) { id ... on Member { name } } }`, variables: { id } });
const members = Object.keys(cache.extract()).filter((key) => key.startsWith("Member:"));
console.log(JSON.stringify({ edges: edges(), members: members.length }));
subscription.unsubscribe();
client.stop();
