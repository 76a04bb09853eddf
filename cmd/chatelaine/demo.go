package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// The sample site. Passwords and secrets are made anew at every start and are in
// no file: there is nothing to leave behind in production.
const (
	demoResource = "https://chat.acme.example"
	demoAna      = "ana@acme.example"
	demoRaj      = "raj@acme.example"
	demoSam      = "sam@acme.example"
	demoElse     = "198.51.100.7" // "another network": an address that the allowlist does not have
)

const demoSite = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    roles:
      - {key: supervisors, name: Supervisors, permissions: [chat.monitor, chat.view_all, visitor.ban, report.view]}
    departments: [{key: billing, name: Billing}]
    agents:
      - {email: ana@acme.example, name: Ana Silva, roles: [administrators]}
      - {email: raj@acme.example, name: Raj Patel, roles: [agents], departments: [billing]}
      - {email: sam@acme.example, name: Sam Okafor, roles: [agents, supervisors]}
    resources:
      - {identifier: "https://chat.acme.example", access_token_format: jwt, signing_alg: ES256, checks_network: true}
    clients:
      - {client_id: desk, client_name: Agent Desk, company: Acme, first_party: true, redirect_uris: ["DESK/callback"], post_logout_redirect_uris: ["DESK/"],
         grant_types: [authorization_code, refresh_token], scope: "openid profile email offline_access chat", default_resource: "https://chat.acme.example"}
      - {client_id: chat-backend, client_name: Chat backend, company: Acme, first_party: true, grant_types: [client_credentials], scope: "chat", default_resource: "https://chat.acme.example"}
    connections:
      - {id: shop, kind: jwt, for: visitors, name: Acme Shop, keys: [{kid: shop-1, secret: "SHOP_SECRET"}]}
      - {id: club, kind: jwt, for: visitors, name: Acme Club, login_url: "SHOP/club", keys: [{kid: club-1, secret: "CLUB_SECRET"}]}
    visitors: {anonymous: true, sign_in: optional, origins: ["SHOP"]}
    ip_allowlist:
      enabled: true
      entries: [{cidr: 127.0.0.0/8, note: this machine}, {ip: "::1", note: this machine}]
`

type demoCommand struct {
	DeskListen string        `help:"Address and port of the sample agent desk." default:"127.0.0.1:8081" placeholder:"TEXT"`
	ShopListen string        `help:"Address and port of the sample shop." default:"127.0.0.1:8082" placeholder:"TEXT"`
	Settings   settingsFlags `embed:""`
}

// Run serves the demo until it is told to stop.
func (c *demoCommand) Run(ctx context.Context, t *terminal) error {
	src := c.Settings.source(t)
	remove, err := demoSettings(&src)
	if err != nil {
		return err
	}
	defer remove()
	cfg, err := load(src)
	if err != nil {
		return err
	}
	if !loopbackHost(cfg.public.Hostname()) {
		return usagef("the demo is for this machine alone: public_url must be on loopback, not %s", cfg.publicURL)
	}
	if cfg.mailFrom == "" {
		cfg.mailFrom = "no-reply@acme.example"
	}
	box := &outbox{}
	s, err := openServer(ctx, t, cfg, box.take)
	if err != nil {
		return err
	}
	l, err := c.listen(ctx)
	if err != nil {
		return errors.Join(err, s.close())
	}
	d := &demo{server: s, outbox: box, talks: &talks{all: map[string]*talk{}}, deskURL: "http://localhost:" + portOf(l.desk), shopURL: "http://" + l.shop.Addr().String(), control: s.inProcess()}
	d.control.progress = &progress{} // pages call it side by side
	accounts, err := d.seed(ctx)
	if err != nil {
		return errors.Join(err, l.desk.Close(), l.shop.Close(), s.close())
	}
	box.open(time.Now())
	return d.run(ctx, t, l, accounts)
}

// demoListeners are the ports beside the house's own. The shop's address has a name
// for this machine that the house's has not, so that browsers take the two for
// different sites.
type demoListeners struct{ desk, shop net.Listener }

func (c *demoCommand) listen(ctx context.Context) (l demoListeners, err error) {
	if host, _, err := net.SplitHostPort(c.ShopListen); err != nil || !loopbackHost(host) {
		return l, usagef("--shop-listen: the demo is for this machine alone: give an address on loopback, not %s", c.ShopListen)
	}
	if l.desk, err = listenOn(ctx, "desk-listen", freePortIfTaken(c.DeskListen, c.DeskListen == "127.0.0.1:8081")); err != nil {
		return l, err
	}
	if l.shop, err = listenOn(ctx, "shop-listen", freePortIfTaken(c.ShopListen, c.ShopListen == "127.0.0.1:8082")); err != nil {
		return l, errors.Join(err, l.desk.Close())
	}
	return l, nil
}

// demoSettings fills in what nobody chose: a throw-away folder, and a free port
// if the usual one is taken.
func demoSettings(src *source) (remove func(), err error) {
	given := func(name string) bool {
		probe := &config{sources: map[string]string{}}
		var f faults
		src.readFile(probe, &f)
		src.readEnviron(probe, &f)
		_, byFlag := src.flags[name]
		return byFlag || probe.sources[name] != ""
	}
	remove = func() {}
	if !given("data") {
		dir, err := os.MkdirTemp("", "chatelaine-demo-")
		if err != nil {
			return nil, fmt.Errorf("make a throw-away folder: %w", err)
		}
		src.flags["data"] = dir
		remove = func() { _ = os.RemoveAll(dir) }
	}
	if !given("listen") && !given("public_url") {
		address := freePortIfTaken("127.0.0.1:8080", true)
		_, port, _ := net.SplitHostPort(address)
		src.flags["listen"], src.flags["public_url"] = address, "http://localhost:"+port
	}
	if !given("log.level") {
		src.flags["log.level"] = "warn"
	}
	return remove, nil
}

// freePortIfTaken returns address, or the same host with a port that is free.
func freePortIfTaken(address string, may bool) string {
	l, err := net.Listen("tcp", address)
	if err != nil && may {
		host, _, _ := net.SplitHostPort(address)
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			address = l.Addr().String()
		}
	}
	if err == nil {
		_ = l.Close()
	}
	return address
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// demo is the sample site with what stands around it.
type demo struct {
	server        *server
	control       *control
	deskURL       string
	shopURL       string
	deskSecret    string
	backendSecret string
	shopSecret    string // shared with the house: the shop says who its customers are
	clubSecret    string
	chat          *chatBackend
	talks         *talks
	outbox        *outbox
}

type account struct{ Name, Email, Password, Role string }

// seed makes the site, and fresh passwords and secrets.
func (d *demo) seed(ctx context.Context) ([]account, error) {
	d.shopSecret, d.clubSecret = randomText(32), randomText(32)
	file := strings.NewReplacer("DESK", d.deskURL, "SHOP_SECRET", d.shopSecret, "CLUB_SECRET", d.clubSecret, "SHOP", d.shopURL).Replace(demoSite)
	accounts := []account{{"Ana", demoAna, "", "administrator"}, {"Raj", demoRaj, "", "agent"}, {"Sam", demoSam, "", "agent and supervisor"}}
	for i := range accounts {
		a := &accounts[i]
		a.Password = readablePassword()
		file = strings.Replace(file, a.Email+",", a.Email+", password: \""+a.Password+"\",", 1)
	}
	done, err := applySite(ctx, d.control, "the sample site", []byte(file), false, false)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if done.made("agent " + a.Email) {
			continue // with that password: nobody is told that it changed
		}
		if err := d.control.do(ctx, request{op: "agents/set-password", in: map[string]any{"email": a.Email, "password": a.Password}}); err != nil {
			return nil, err
		}
	}
	for client, secret := range map[string]*string{"desk": &d.deskSecret, "chat-backend": &d.backendSecret} {
		var out struct {
			Secret string `json:"client_secret"`
		}
		in := map[string]any{"client_id": client, "overlap_seconds": 0}
		if err := d.control.do(ctx, request{op: "clients/rotate-secret", in: in, out: &out}); err != nil {
			return nil, err
		}
		*secret = out.Secret
	}
	return accounts, nil
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (d *demo) run(ctx context.Context, t *terminal, l demoListeners, accounts []account) error {
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- d.server.serve(ctx) }()
	desk, err := newDesk(ctx, d)
	if err != nil {
		stop()
		return errors.Join(err, l.desk.Close(), l.shop.Close(), <-served)
	}
	servers := []*http.Server{publicServer(desk.routes(), nil, d.server.log), publicServer(newShop(d, desk).routes(), nil, d.server.log)}
	for i, on := range []net.Listener{l.desk, l.shop} {
		go func() { _ = servers[i].Serve(on) }()
	}
	d.print(t, desk, accounts)
	err = <-served
	stop()
	d.chat.close() // ends every watch, and so the sockets
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, web := range servers {
		if closing := web.Shutdown(end); closing != nil && !errors.Is(closing, http.ErrServerClosed) {
			err = errors.Join(err, web.Close())
		}
	}
	return err
}

func (d *demo) print(t *terminal, desk *desk, accounts []account) {
	t.say("Chatelaine's demo is ready. Everything in it is on this machine, and gone when you press Ctrl-C\n(unless you gave --data).\n")
	for _, a := range accounts {
		t.say("  %-4s %-18s password %-17s %s", a.Name, a.Email, a.Password, a.Role)
	}
	t.say("\n  1. Sign in as Raj:        %s", d.deskURL)
	t.say("     Look at who he is and what he may do; try an action, then the same from another network.")
	t.say("  2. Keep that window open, and in another one be the administrator:")
	t.say("     %s", desk.stageURL())
	t.say("     End Raj's sessions: his open socket closes at once. Make him a supervisor, and take it away again.")
	t.say("  3. Press “Forgot password?” on the sign-in page. No mail leaves this machine; it is here:")
	t.say("     %s", desk.outboxURL())
	t.say("  4. Be a visitor of the shop, and open the chat at its corner: %s", d.shopURL)
	t.say("     You are anonymous; log in to the shop and you are signed; sign in with Acme Club, in a pop-up, and you are federated.")
	t.say("     Ban the visitor as Sam, at the desk, and watch the chat go. Or by command, with the visitor's id from the desk:")
	t.say("     chatelaine visitor ban --data %s --reason rude --for 10m --visitor ID", d.server.cfg.data)
	t.say("\n  The identity provider itself: %s\n", d.server.cfg.publicURL)
}

// readablePassword has 80 random bits in letters that nobody mistakes.
func readablePassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	b[15] = '2' + b[15]%8 // a digit, as the rules ask
	return string(b[:4]) + "-" + string(b[4:8]) + "-" + string(b[8:12]) + "-" + string(b[12:])
}
