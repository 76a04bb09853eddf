package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The guides are run as they stand. In a ```console block a line that begins
// with "$ " is a command (lines that begin with "> " go on with it) and what
// follows is what it prints: … stands for anything within a line, a line of
// only … for any number of lines. The blocks of one document are one bash, in a
// folder of their own, with chatelaine on the PATH; a block whose language is
// followed by a name, such as ```yaml site.yaml, is a file there. Ports that the
// document names (localhost:8080) are replaced by free ones.

// guides must have console blocks, besides whatever other document has some.
var guides = []string{"operations.md", "integrators.md", "mail.md"}

// block is a fenced block of a document.
type block struct {
	language, name string
	line           int // of its first line, from 1
	text           string
}

func (b block) lines() []string { return strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") }

func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	var b *block
	for i, line := range strings.Split(read(t, document), "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case b == nil && isFence:
			language, name, _ := strings.Cut(fence, " ")
			b = &block{language: language, name: strings.TrimSpace(name), line: i + 2}
		case b != nil && isFence:
			all = append(all, *b)
			b = nil
		case b != nil:
			b.text += line + "\n"
		}
	}
	if b != nil {
		t.Fatalf("%s:%d: a block does not end", document, b.line)
	}
	return all
}

func documents(t *testing.T) []string {
	t.Helper()
	here, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, _ := filepath.Glob("decisions/*.md")
	top, _ := filepath.Glob("../*.md")
	return slices.Concat(here, decisions, top)
}

// need skips a test by the name of what this machine lacks; under CI=true that
// is a failure.
func need(t *testing.T, commands ...string) {
	t.Helper()
	for _, name := range commands {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

// program is the built binary, in a folder of its own.
type program struct{ dir string }

func build(t *testing.T) program {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "chatelaine"), "../cmd/chatelaine").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program{dir}
}

// environ is a clean one: what is set on this machine must not change a guide.
func (p program) environ(home string) []string {
	return []string{"PATH=" + p.dir + ":" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C.UTF-8", "TZ=UTC", "NO_COLOR=1"}
}

func TestTheDocumentsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	p := build(t)
	for _, document := range documents(t) {
		name, all := filepath.Base(document), blocks(t, document)
		if slices.ContainsFunc(all, func(b block) bool { return b.language == "console" }) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				need(t, "bash", "curl")
				p.follow(t, document, all)
			})
		} else if slices.Contains(guides, name) {
			t.Errorf("%s has no console block", document)
		}
		for _, b := range all {
			if !slices.Contains([]string{"yaml", "json", "go"}, b.language) {
				continue
			}
			t.Run(fmt.Sprintf("%s:%d", name, b.line), func(t *testing.T) {
				t.Parallel()
				p.accepts(t, b)
			})
		}
	}
}

// command is one step of a guide.
type command struct {
	line  int
	text  string
	want  []string
	files []block // to be there before it
}

func commands(t *testing.T, document string, all []block) (list []command) {
	t.Helper()
	var files []block
	for _, b := range all {
		if b.name != "" {
			files = append(files, b)
		}
		if b.language != "console" {
			continue
		}
		first := len(list)
		for i, line := range b.lines() {
			switch text, isCommand := strings.CutPrefix(line, "$ "); {
			case isCommand:
				list = append(list, command{line: b.line + i, text: text, files: files})
				files = nil
			case len(list) == first:
				t.Fatalf("%s:%d: a console block begins with a command", document, b.line+i)
			case strings.HasPrefix(line, "> ") && len(list[len(list)-1].want) == 0:
				list[len(list)-1].text += "\n" + line[2:]
			default:
				list[len(list)-1].want = append(list[len(list)-1].want, line)
			}
		}
	}
	return list
}

const (
	guideTime = 2 * time.Minute
	mark      = "=== step "
)

var portOf = regexp.MustCompile(`(localhost|127\.0\.0\.1):(\d{4,5})\b`)

// follow runs one document and compares what it prints.
func (p program) follow(t *testing.T, document string, all []block) {
	dir := t.TempDir()
	list := commands(t, document, all)
	ports := freePorts(t, read(t, document))
	for i := range list {
		list[i].text = ports.use(list[i].text)
	}
	output := p.run(t, dir, script(t, dir, ports, list))
	parts := strings.Split(output, mark)
	for i, c := range list {
		if i+1 >= len(parts) {
			t.Fatalf("%s:%d: the guide ended before: $ %s\n%s", document, c.line, c.text, output)
		}
		_, got, _ := strings.Cut(parts[i+1], "\n")
		got = strings.TrimSuffix(ports.giveBack(got), "\n")
		if !matches(c.want, splitLines(got)) {
			t.Errorf("%s:%d: $ %s\nprinted\n%s\nand the document says\n%s", document, c.line, c.text, got, strings.Join(c.want, "\n"))
		}
	}
	if t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			t.Logf("%s:\n%s", filepath.Base(log), text)
		}
	}
}

func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// script writes the document's files as they come and says where each step begins.
func script(t *testing.T, dir string, ports portMap, list []command) string {
	var b strings.Builder
	b.WriteString("exec 2>&1 </dev/null\n")
	for i, c := range list {
		for _, f := range c.files {
			kept := filepath.Join(dir, ".files", strconv.Itoa(i), f.name)
			if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(kept, []byte(ports.use(f.text)), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "mkdir -p \"$(dirname '%s')\" && cp '%s' '%s'\n", f.name, kept, f.name)
		}
		fmt.Fprintf(&b, "echo '%s%d'\n%s\n", mark, i, c.text)
	}
	return b.String()
}

// run gives the script to bash. What it leaves running is killed.
func (p program) run(t *testing.T, dir, script string) string {
	t.Helper()
	path := filepath.Join(dir, ".guide")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(dir, ".output")) // a file: nobody waits for a background process to close it
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	ctx, cancel := context.WithTimeout(t.Context(), guideTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", ".guide")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.Env = p.environ(dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := -cmd.Process.Pid
	cmd.Cancel = func() error { return syscall.Kill(group, syscall.SIGKILL) }
	defer func() { _ = syscall.Kill(group, syscall.SIGKILL) }()
	if err := cmd.Wait(); ctx.Err() != nil {
		t.Errorf("the guide took more than %s: %v", guideTime, err)
	}
	text, err := os.ReadFile(output.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// portMap gives each port that a document names a free one.
type portMap map[string]string

func freePorts(t *testing.T, text string) portMap {
	t.Helper()
	ports := portMap{}
	for _, m := range portOf.FindAllStringSubmatch(text, -1) {
		if ports[m[2]] != "" {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, ports[m[2]], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports
}

func (p portMap) use(text string) string {
	return portOf.ReplaceAllStringFunc(text, func(m string) string {
		host, port, _ := strings.Cut(m, ":")
		return host + ":" + p[port]
	})
}

func (p portMap) giveBack(text string) string {
	for port, free := range p {
		text = strings.ReplaceAll(text, ":"+free, ":"+port)
		text = strings.ReplaceAll(text, "%3A"+free, "%3A"+port)
	}
	return text
}

// matches compares lines with a pattern of lines.
func matches(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == "…":
		for i := range len(got) + 1 {
			if matches(want[1:], got[i:]) {
				return true
			}
		}
		return false
	case len(got) == 0:
		return false
	}
	parts := strings.Split(want[0], "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	ok, _ := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", got[0])
	return ok && matches(want[1:], got[1:])
}

func TestPatternsOfGuidesMatchWhatTheyShould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		match     bool
	}{
		{"a\nb", "a\nb", true}, {"a", "a\nb", false}, {"a…c", "abc", true}, {"a…c", "ab", false}, {"…", "", true},
		{"…\nz", "a\nb\nz", true}, {"a\n…\nz", "a\nz", true}, {"a\n…\nz", "a\nz\ny", false}, {"a.c", "abc", false},
	} {
		if got := matches(splitLines(c.want), splitLines(c.got)); got != c.match {
			t.Errorf("%q against %q: %t", c.want, c.got, got)
		}
	}
}

// accepts applies a site file to an empty house, checks a settings file, reads
// JSON and compiles a whole Go program.
func (p program) accepts(t *testing.T, b block) {
	switch {
	case b.language == "json" && !json.Valid([]byte(b.text)):
		t.Error("this is not JSON")
	case b.language == "yaml" && regexp.MustCompile(`(?m)^sites:`).MatchString(b.text):
		p.takes(t, b, "apply")
	case b.language == "yaml":
		p.takes(t, b, "check-config", "--config")
	case b.language == "go" && strings.HasPrefix(b.text, "package "):
		compile(t, b)
	}
}

func (p program) takes(t *testing.T, b block, args ...string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.yaml"), []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(p.dir, "chatelaine"), append(args, "file.yaml")...)
	cmd.Dir, cmd.Env = dir, p.environ(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("chatelaine %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// compile puts the program into the module by an overlay, where imports resolve.
func compile(t *testing.T, b block) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, "program", "main.go"): file}})
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", os.DevNull, "./program")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, bytes.ReplaceAll(out, []byte("program/main.go"), []byte("line ")))
	}
}
