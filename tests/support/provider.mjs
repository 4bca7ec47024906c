// An OpenID provider for tests: panva's oidc-provider, in which whoever is asked for is signed in without a password.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [redirect] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "datalab", client_secret: "secret-of-the-lab", redirect_uris: [redirect] }],
    acrValues: ["https://refeds.org/profile/mfa"],
    claims: { openid: ["sub", "amr", "acr"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_, interaction) => `/person/${interaction.uid}` },
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope("openid");
      await grant.save();
      return grant;
    },
  });
  provider.use(async (ctx, next) => {  // GET /person/UID?name=NAME
    if (!ctx.path.startsWith("/person/")) { return next(); }
    const { name } = ctx.query;
    const login = { accountId: name, amr: name.endsWith("-mfa") ? ["pwd", "mfa"] : ["pwd"] };
    if (name.endsWith("-acr")) { login.acr = "https://refeds.org/profile/mfa"; }
    return provider.interactionFinished(ctx.req, ctx.res, { login }, { mergeWithLastSubmission: false });
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
