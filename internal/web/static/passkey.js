// Passkeys: what the browser's authenticator is asked, in the JSON that both sides speak.
import { Refusal } from './api.js';

const kind = window.PublicKeyCredential;

/** Whether this browser can use passkeys at all. */
export const works = Boolean(kind?.parseCreationOptionsFromJSON && kind?.parseRequestOptionsFromJSON && navigator.credentials);

/** Has a passkey made; returns the answer for the house. */
export async function create({ id, options }) {
  const made = await navigator.credentials.create({ publicKey: kind.parseCreationOptionsFromJSON(options) });
  return { id, response: answer(made) };
}

/** Has a passkey used. */
export async function use({ id, options }) {
  const used = await navigator.credentials.get({ publicKey: kind.parseRequestOptionsFromJSON(options) });
  return { id, response: answer(used) };
}

function answer(credential) {
  if (!credential) throw new Refusal('NotAllowedError');
  return credential.toJSON();
}
