// The page at /graphql: GraphiQL against the same origin, with the token in its header editor.
// A token arrives once in the URL's fragment (#token=…, never sent to a server), is kept in local storage and leaves the address bar.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import "graphiql/graphiql.css";

const KEPT = "crm-es:token";
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  localStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname);
}
const token = given ?? localStorage.getItem(KEPT);
const headers = JSON.stringify({ Authorization: token ? `Bearer ${token}` : "Bearer <token>" }, null, 2);
const url = new URL("graphql", new URL(".", location.href)).href;
const fetcher = createGraphiQLFetcher({ url, subscriptionUrl: url.replace(/^http/, "ws") });
const query = `# Every field has a description: open the book on the left, or press Ctrl-Space.
# The token stands under "Headers" below.

query WhoAmI {
  viewer {
    workspace { name timeZone currency }
    roles { key name }
    position
  }
}
`;

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL fetcher={fetcher} defaultQuery={query} defaultHeaders={headers} defaultEditorToolsVisibility="headers" />,
);
