// A widget as a page in TypeScript writes it: it has to compile against visitor.d.ts.
import Default, { Chatelaine, ChatelaineError, type Assurance, type Options } from "./visitor.js";

export async function widget(box: HTMLElement): Promise<string> {
  const options: Options = { issuer: "https://www.example", identity: async () => null, storage: null, onToken: (token, { visitorId, expires }) => console.log(token, visitorId, expires.getTime()), onHidden: (why) => console.log(why.code) };
  const chat: Default = await Chatelaine.start(options);
  const how: Assurance | "" = chat.assurance;
  try {
    await chat.signIn({ connection: "shop", mode: "frame", container: box });
  } catch (err) {
    if (err instanceof ChatelaineError && err.code === "popup_closed") await chat.signOut();
  }
  // @ts-expect-error: there is no such mode
  await chat.signIn({ connection: "shop", mode: "tab" });
  // @ts-expect-error: a widget is started, not made
  new Chatelaine(options);
  // @ts-expect-error: the issuer is needed
  await Chatelaine.start({});
  chat.stop();
  return how + chat.visitorId + (await chat.token({ fresh: true }));
}
