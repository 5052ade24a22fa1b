// A certified OpenID provider (npm oidc-provider) with a login page that checks passwords, and a door for the test.
import http from "node:http";
import { Provider } from "oidc-provider";

const [port, callback] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;
const people = {
  1: { name: "ada", password: "ada's", groups: ["lab", "teachers"], email: "ada@example.org", hd: "example.org" },
  2: { name: "Ada", password: "other", groups: ["lab"], email: "ada@evil.org", hd: "evil.org" },
  3: { name: "bob", password: "bob's", groups: [], email: "bob@example.org", unverified: true, hd: "example.org" },
};

const provider = new Provider(issuer, {
  clients: [{
    client_id: "hub", client_secret: "the client's secret of the hub", redirect_uris: [callback],
    grant_types: ["authorization_code"], token_endpoint_auth_method: "client_secret_post",
  }],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email", "email_verified", "hd"] },
  cookies: { keys: ["for a test only"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  async findAccount(ctx, id) {
    const one = people[id];
    if (!one || one.gone) return undefined;
    return {
      accountId: id,
      claims: () => ({
        sub: id, preferred_username: one.name, groups: one.groups,
        email: one.email, email_verified: !one.unverified, hd: one.hd,
      }),
    };
  },
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

http.createServer(async (request, response) => {
  const url = new URL(request.url, issuer);
  if (url.pathname === "/favicon.ico") {
    response.statusCode = 204;
    response.end();
  } else if (url.pathname === "/test/change") {
    const { id, ...changes } = JSON.parse(await body(request));
    Object.assign(people[id], changes);
    response.end("{}");
  } else if (url.pathname.startsWith("/interaction/")) {
    const form = `<form method="post"><input name="name"><input name="password" type="password"><button>Log in</button></form>`;
    if (request.method === "GET") return response.setHeader("Content-Type", "text/html").end(form);
    const sent = new URLSearchParams(await body(request));
    const found = Object.entries(people).find(([, one]) => one.name === sent.get("name"));
    if (!found || found[1].password !== sent.get("password")) {
      response.statusCode = 401;
      return response.end(form);
    }
    await provider.interactionFinished(request, response, { login: { accountId: found[0] } });
  } else {
    provider.callback()(request, response);
  }
}).listen(Number(port), "127.0.0.1", () => console.log("listens"));
