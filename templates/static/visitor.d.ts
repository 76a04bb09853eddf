// Types of visitor.js.

/** How a visitor is known. Kinds, not a ladder. */
export type Assurance = "anonymous" | "signed" | "federated";

export interface Options {
  /** The site's issuer, an https address. Over http on this machine only. */
  issuer: string;
  /**
   * Gives a visitor JWT that the page's own server has made for whom it knows, or ""
   * for whom it doesn't. Asked at every start, and when a visitor begins anew.
   */
  identity?: () => Promise<string | null | undefined>;
  /** Where the visitor is remembered; null: in this page only. Otherwise localStorage, if it is allowed. */
  storage?: Storage | null;
  /** Told every token, the first and those that are renewed quietly. */
  onToken?: (token: string, about: { visitorId: string; assurance: Assurance; expires: Date }) => void;
  /** The visitor is banned: the widget should not be seen. Everything has ended. */
  onHidden?: (why: ChatelaineError) => void;
  /** The title of the frame that signIn makes, in the page's language. */
  frameTitle?: string;
}

export interface SignInOptions {
  /** The connection's id. Left out: the only one for visitors, or one that they choose on a page. */
  connection?: string;
  /**
   * popup (the default; call it in the visitor's own click), redirect (the page is
   * left, and start goes on when it comes back) or frame. Providers that cut a
   * pop-up off from its opener, or refuse to be framed, need redirect.
   */
  mode?: "popup" | "redirect" | "frame";
  /** What the frame is put into. It stays there with its words if signing in did not work. */
  container?: HTMLElement;
}

/**
 * What went wrong. Codes of this client: unavailable, rate_limited, identity_failed,
 * invalid_issuer, insecure_context, storage_missing, popup_blocked, popup_closed,
 * container_missing, sign_in_timeout, sign_in_replaced, answer_expired, stopped. All
 * others are the issuer's: visitor_banned, sign_in_required, invalid_grant, and those
 * of a sign-in, such as provider_refused.
 */
export class ChatelaineError extends Error {
  constructor(code: string, message?: string, more?: { status?: number; requestId?: string; retryAfter?: number; cause?: unknown });
  readonly code: string;
  /** HTTP status; 0: there was no answer. */
  readonly status: number;
  /** To be given to whoever looks into it; may be empty. */
  readonly requestId: string;
  /** Seconds; 0: not said. */
  readonly retryAfter: number;
}

export class Chatelaine {
  private constructor();
  /** Begins: the visitor of the last time, or a new one. */
  static start(options: Options): Promise<Chatelaine>;
  /** Empty before there is a token. */
  readonly visitorId: string;
  /** Empty before there is a token. */
  readonly assurance: Assurance | "";
  /** Whether the site gives tokens only to those who sign in, and this visitor has not. */
  readonly signInRequired: boolean;
  /** Why signing in by redirect did not work, if one has just come back without. */
  signInError: ChatelaineError | null;
  /** A token that is good for some seconds at least; fresh: another one than before. */
  token(how?: { fresh?: boolean }): Promise<string>;
  /** Signs the visitor in. */
  signIn(options?: SignInOptions): Promise<void>;
  /** Signs the visitor out: what they hold in this browser ends, and it begins as a new one. */
  signOut(): Promise<void>;
  /** Ends it. The visitor is still known the next time. */
  stop(): void;
}

export default Chatelaine;
