package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows a bar for work of more than a second, on a terminal only.
type progress struct {
	out   io.Writer // nil: shows nothing
	since time.Time
	what  string
	bar   *progressbar.ProgressBar
}

// slow is how long work may take without a bar.
const slow = time.Second

func newProgress(t *terminal) *progress {
	if !isTerminal(t.err) {
		return &progress{}
	}
	return &progress{out: t.err, since: time.Now()}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *progress) set(what string, done, total int64) {
	if p.out == nil || time.Since(p.since) < slow {
		return
	}
	if p.bar == nil || p.what != what {
		p.done()
		p.what = what
		p.bar = progressbar.NewOptions64(unknownAsSpinner(total), progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(what),
			progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount(), progressbar.OptionFullWidth())
	}
	_ = p.bar.Set64(done)
}

func unknownAsSpinner(total int64) int64 {
	if total <= 0 {
		return -1
	}
	return total
}

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
