package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/verify"
)

// talks are the conversations with the shop's visitors, in memory.
type talks struct {
	mu  sync.Mutex
	all map[string]*talk // by visitor
}

type talk struct {
	visitor   string
	name      string
	assurance string
	said      []talkLine
	seen      time.Time
	ears      map[chan talkLine]bool
}

type talkLine struct {
	From string `json:"from"` // visitor, shop or note
	Text string `json:"text"`
}

const (
	maxTalks = 200
	maxLines = 200
	earLines = 16
)

// of is the conversation of the token's visitor, a new one if there is none. What they
// said before they were known goes on in it: the token says who they were.
func (x *talks) of(token *verify.Token) *talk {
	who, _ := token.Visitor()
	x.mu.Lock()
	defer x.mu.Unlock()
	own := x.all[token.Subject]
	if own == nil {
		own = &talk{visitor: token.Subject, ears: map[chan talkLine]bool{}}
		if len(x.all) >= maxTalks {
			oldest := slices.MinFunc(slices.Collect(maps.Values(x.all)), func(a, b *talk) int { return a.seen.Compare(b.seen) })
			delete(x.all, oldest.visitor)
		}
		x.all[own.visitor] = own
	}
	own.name, own.assurance, own.seen = who.Name, token.Assurance, time.Now()
	if before := x.all[who.Was]; before != nil && before != own {
		own.said = append(own.said, before.said...)
		own.said = own.said[max(0, len(own.said)-maxLines):]
		delete(x.all, who.Was)
	}
	return own
}

func (x *talks) add(t *talk, line talkLine) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t.said = append(t.said, line)
	t.said = t.said[max(0, len(t.said)-maxLines):]
	for ear := range t.ears {
		select {
		case ear <- line:
		default: // who does not listen reads it at the next start
		}
	}
}

// listen is what has been said, and what will be.
func (x *talks) listen(t *talk) (said []talkLine, lines <-chan talkLine, leave func()) {
	ear := make(chan talkLine, earLines)
	x.mu.Lock()
	defer x.mu.Unlock()
	t.ears[ear] = true
	return append([]talkLine{}, t.said...), ear, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(t.ears, ear)
	}
}

// talkInfo is a conversation as the desk lists it.
type talkInfo struct {
	Visitor   string `json:"visitor"`
	Name      string `json:"name"`
	Assurance string `json:"assurance"`
	Last      string `json:"last"`
	Here      bool   `json:"here"`
}

// list has the conversations, the newest first.
func (x *talks) list() []talkInfo {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := []talkInfo{}
	for _, t := range slices.SortedFunc(maps.Values(x.all), func(a, b *talk) int { return b.seen.Compare(a.seen) }) {
		info := talkInfo{Visitor: t.visitor, Name: t.name, Assurance: t.assurance, Here: len(t.ears) > 0}
		for _, line := range slices.Backward(t.said) {
			if line.From == "visitor" {
				info.Last = line.Text
				break
			}
		}
		out = append(out, info)
	}
	return out
}
