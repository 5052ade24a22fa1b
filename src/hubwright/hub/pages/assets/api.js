// The hub's API, asked as the page's own user; an error is an Error whose message is a sentence.

const { base_url: base, xsrf_token: xsrf } = window.jhdata;

/** Ask for JSON; `path` begins after /hub/api/. */
export async function get(path) {
  const answer = await request("GET", path);
  return answer.json();
}

/** Send an object; resolves to the answer's JSON. */
export async function post(path, body) {
  const answer = await request("POST", path, JSON.stringify(body));
  return answer.json();
}

/** Send a request; resolves to the status. */
export async function send(method, path, body) {
  const answer = await request(method, path, body === undefined ? undefined : JSON.stringify(body));
  return answer.status;
}

/** The path of a user's server in the API. */
export function serverPath(user, server) {
  const name = encodeURIComponent(user);
  return server ? `users/${name}/servers/${encodeURIComponent(server)}` : `users/${name}/server`;
}

async function request(method, path, body) {
  let answer;
  try {
    answer = await fetch(`${base}api/${path}`, {
      method,
      body,
      cache: "no-store",
      headers: { Accept: "application/json", "Content-Type": "application/json", "X-XSRFToken": xsrf },
      signal: AbortSignal.timeout(30_000),
    });
  } catch (error) {
    throw new Error("The hub does not answer.", { cause: error });
  }
  if (answer.ok) return answer;
  let told = "";
  try {
    told = String((await answer.json()).message || "");
  } catch {
    // no JSON: a proxy answered
  }
  if (answer.status === 403 && !told) told = "You are no longer signed in, or may not do that.";
  const failed = new Error(told || `The hub answered ${answer.status}.`);
  failed.status = answer.status;
  throw failed;
}

/**
 * Call `work` now and then every `seconds` while the page is seen; after a failure less and less often.
 * Returns a function that calls it at once, or as soon as the call that is under way has ended.
 */
export function every(seconds, work) {
  let timer = 0;
  let pause = seconds;
  let busy = false;
  let again = false;
  async function turn() {
    again = busy;
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      await work();
      pause = seconds;
    } catch (error) {
      console.info(error.message);
      pause = Math.min(120, pause * 2);
    } finally {
      busy = false;
    }
    if (again) turn();
    else if (!document.hidden) timer = setTimeout(turn, pause * 1000);
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) turn();
  });
  turn();
  return turn;
}
