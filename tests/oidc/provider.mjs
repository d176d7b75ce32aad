// The certified OpenID provider `oidc-provider`, with people who log in by
// naming themselves: the journeys test Bedplate against it, not against a fake.
//
// Prints `listening on PORT ISSUER` once it stands; ends with its standard input.
import http from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';

const [clientRedirect] = process.argv.slice(2);
const people = {
  ada: { email: 'ada@acme.example', email_verified: true, groups: ['ml-platform'] },
  bob: { email: 'bob@acme.example', email_verified: true, groups: ['search'] },
  eve: { email: 'eve@elsewhere.example', email_verified: true, groups: [] },
};

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const asked = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'];

// Token exchange as RFC 8693 says: whoever the subject's token is about, for the upstream that is asked
// for. The provider has authenticated the client by then.
function exchanges(issuer) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  return async (ctx) => {
    const { params, client, provider } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type');
    if ((params.requested_token_type ?? ACCESS_TOKEN) !== ACCESS_TOKEN) throw new errors.InvalidRequest('requested_token_type');
    const verified = await jwtVerify(params.subject_token ?? '', keys, { issuer, audience: new URL(clientRedirect).origin })
      .catch(() => { throw new errors.InvalidGrant('the subject token is not ours'); });
    const target = params.resource ?? params.audience;
    if (!target?.startsWith('https://desk.')) throw new errors.InvalidTarget();
    const { sub, act } = verified.payload;
    ctx.exchanged = { sub, act: { sub: client.clientId, ...(act && { act }) } };
    const token = new provider.ClientCredentials({ client, scope: params.scope });
    token.resourceServer = new provider.ResourceServer(target, {
      scope: params.scope ?? '', audience: target, accessTokenFormat: 'jwt', accessTokenTTL: 600,
    });
    ctx.body = {
      access_token: await token.save(), issued_token_type: ACCESS_TOKEN, token_type: 'Bearer',
      expires_in: 600, scope: params.scope,
    };
  };
}

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'bedplate',
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        redirect_uris: [clientRedirect],
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
      },
      {
        client_id: 'robot',
        client_secret: 'a secret of the robot alone',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      },
      {
        client_id: 'tool gate',
        client_secret: 'what the gate % says: here',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials', EXCHANGE],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, indicator) => ({
          scope: 'infer tools',
          audience: indicator,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
        }),
      },
    },
    // As a token exchange would: a token about a person, given to the client that acts for them.
    formats: {
      customizers: {
        jwt: (ctx, token, jwt) => {
          if (ctx.exchanged) Object.assign(jwt.payload, ctx.exchanged);
          const person = ctx.get('x-acts-for');
          if (people[person]) {
            Object.assign(jwt.payload, { ...people[person], sub: person, act: { sub: token.clientId } });
          }
          return jwt;
        },
      },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => (people[id] ? { accountId: id, claims: () => ({ sub: id, ...people[id] }) } : undefined),
    cookies: { keys: ['only for tests'] },
    ttl: { Session: 600, Interaction: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
  });
  provider.registerGrantType(EXCHANGE, exchanges(issuer), asked);
  provider.on('server_error', (_, error) => console.error(error));
  const answer = provider.callback();
  server.on('request', async (request, response) => {
    try {
      if (!request.url.startsWith('/interaction/')) return answer(request, response);
      // Who one says one is, in place of a login page; and yes to everything.
      const who = /(?:^|; )who=(\w+)/.exec(request.headers.cookie ?? '')?.[1];
      const { prompt, params, session } = await provider.interactionDetails(request, response);
      if (who === 'nobody') {
        return await provider.interactionFinished(request, response, { error: 'access_denied' });
      }
      if (prompt.name === 'login') {
        return await provider.interactionFinished(request, response, { login: { accountId: who } });
      }
      const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope('openid email profile');
      const consent = { grantId: await grant.save() };
      await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
    } catch (error) {
      console.error(error);
      response.writeHead(500).end();
    }
  });
  console.log(`listening on ${server.address().port} ${issuer}`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
