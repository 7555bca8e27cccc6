// node audit.mjs URL TOKEN: the audits of GraphQL over HTTP; prints what is not ok, fails unless all are.
import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(2);
const signedIn = (input, init) => fetch(input, { ...init, headers: { ...init?.headers, authorization: `Bearer ${token}` } });
const results = await auditServer({ url, fetchFn: signedIn });
const failed = results.filter((result) => result.status !== "ok");
for (const { status, name, reason } of failed) console.log(status, name, reason ?? "");
console.log(`${results.length - failed.length} of ${results.length} ok`);
process.exit(failed.length ? 1 : 0);
