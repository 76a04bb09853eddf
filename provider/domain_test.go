package provider_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// nameServer answers with the TXT records that it is given.
type nameServer struct {
	address string

	mu    sync.Mutex
	texts map[string][]string
	down  bool
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	n := &nameServer{texts: map[string][]string{}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = conn.LocalAddr().String()
	ready := make(chan struct{})
	serving := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(n.answer), NotifyStartedFunc: func() { close(ready) }}
	go serving.ActivateAndServe()
	<-ready
	t.Cleanup(func() { serving.Shutdown() })
	return n
}

func (n *nameServer) answer(w dns.ResponseWriter, asked *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(asked)
	texts, known := n.texts[asked.Question[0].Name]
	switch {
	case n.down:
		m.Rcode = dns.RcodeServerFailure
	case !known:
		m.Rcode = dns.RcodeNameError
	}
	for _, text := range texts {
		m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: asked.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{text}})
	}
	w.WriteMsg(m)
}

func (n *nameServer) set(name string, texts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts[name+"."] = texts
}

// domainNamed is the site's domain as the commands show it.
func (h *running) domainNamed(site, name string) map[string]any {
	h.t.Helper()
	for _, d := range h.control("domains/list", map[string]any{"site": site}, "")["domains"].([]any) {
		if d := d.(map[string]any); d["domain"] == name {
			return d
		}
	}
	h.t.Fatalf("site %q does not name %s", site, name)
	return nil
}

const withDNS = `sites:
  - path: ""
    domains: [acme.example]
    dns_domains: [dept.example]
    agents: [{email: ida@dept.example, name: Ida, password: "` + agentPassword + `", roles: [agents]}]
  - path: other
    name: Other
    dns_domains: [dept.example]
`

func TestADomainIsTheSitesOnceItsDNSSaysSo(t *testing.T) {
	storetest.OnBothEngines(t, testADomainIsTheSitesOnceItsDNSSaysSo)
}

func testADomainIsTheSitesOnceItsDNSSaysSo(t *testing.T, on storetest.Engine) {
	names := newNameServer(t)
	h := start(t, on, "", func(o *provider.Options) { o.DNSServer = names.address })
	h.apply(withDNS)
	h.connect(h.portal(func(c *store.Connection) { c.Domains = append(c.Domains, "dept.example") }))
	check := func(name string) map[string]any {
		return h.control("domains/check", map[string]any{"domain": name}, "")
	}
	says := map[string]any{"sub": "ida-1", "email": "ida@dept.example", "email_verified": true}
	record := h.domainNamed("", "dept.example")
	if record["proven_by"] != nil || record["record"] != "_chatelaine.dept.example" || len(record["text"].(string)) != len("chatelaine-site=")+32 {
		t.Fatalf("before: %v", record)
	}
	if got := h.domainNamed("", "acme.example"); got["proven_by"] != "site_file" || got["record"] != nil {
		t.Errorf("by the operator's word: %v", got)
	}
	others := h.domainNamed("other", "dept.example")["text"].(string)
	if others == record["text"] {
		t.Fatal("two sites are asked for the same record: one's would prove the other's")
	}

	for fault, prepare := range map[string]func(){
		"there is no such record":         func() {},
		"the record says something else":  func() { names.set("_chatelaine.dept.example", others, "v=spf1 -all") },
		"the name server did not answer":  func() { names.mu.Lock(); names.down = true; names.mu.Unlock() },
		"the record says something else ": func() { names.set("_chatelaine.dept.example", record["text"].(string)+" ") },
	} {
		names.mu.Lock()
		names.texts, names.down = map[string][]string{}, false
		names.mu.Unlock()
		prepare()
		if got := check("dept.example"); got["fault"] != strings.TrimSpace(fault) || got["proven_by"] != nil {
			t.Errorf("%s: %v", fault, got)
		}
	}
	names.mu.Lock()
	names.down = false
	names.mu.Unlock()
	h.refusedWith(h.byPortal(says), "email_not_proven")

	names.set("_chatelaine.dept.example", "v=spf1 -all", record["text"].(string))
	if got := check("Dept.Example"); got["fault"] != nil || got["proven_by"] != "dns" || got["proven"] == nil {
		t.Fatalf("with the record: %v", got)
	}
	if p := h.byPortal(says); !h.in(p) {
		t.Errorf("an address of a proven domain is not linked: %d %s", p.status, p.body)
	}
	if got := h.domainNamed("other", "dept.example"); got["proven_by"] != nil {
		t.Errorf("the other site has it too: %v", got)
	}

	// A proof stands while the site names the domain, and no longer.
	names.set("_chatelaine.dept.example")
	h.apply(withDNS)
	h.restart()
	if got := check("dept.example"); got["proven_by"] != "dns" || got["fault"] == nil {
		t.Errorf("after the record has gone: %v", got)
	}
	h.apply("sites: [{path: \"\", dns_domains: []}]")
	if said := h.controlFault("domains/check", map[string]any{"domain": "dept.example"}); !strings.Contains(said, "dns_domains") {
		t.Errorf("a domain that is not named: %q", said)
	}
	h.apply(withDNS)
	if got := h.domainNamed("", "dept.example"); got["proven_by"] != nil {
		t.Errorf("named again, it is proven by what was before: %v", got)
	}
	if said := h.controlFault("domains/check", map[string]any{"domain": "dept..example"}); !strings.Contains(said, "not a domain name") {
		t.Errorf("no domain: %q", said)
	}
	_, exported := h.controlled("audit/export", map[string]any{"action": "domain.prove", "format": "jsonl"}, "")
	if n := strings.Count(exported, "_chatelaine.dept.example"); n != 1 {
		t.Errorf("%d records of one proof: %s", n, exported)
	}
}
