// Command fill puts agents and live sessions into the store of a server that is
// stopped, for the growth rows of the speed table (.ci/bench). With -ended the
// sessions have run out already, so that the server's sweep has them to remove.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func main() {
	path := flag.String("db", "", "the store's file")
	agents := flag.Int("agents", 1_000_000, "how many agents")
	sessions := flag.Int("sessions", 2_000_000, "how many sessions, each with a token family")
	client := flag.String("client", "bench", "the families' client")
	ended := flag.Bool("ended", false, "sessions and families ran out before now")
	flag.Parse()
	if err := fill(*path, *agents, *sessions, *client, *ended); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func fill(path string, agents, sessions int, client string, ended bool) error {
	s, err := bolt.Open(bolt.Options{Path: path})
	if err != nil {
		return err
	}
	until := time.Now()
	if ended {
		until = until.Add(-13 * time.Hour)
	}
	err = storetest.Fill(context.Background(), s, storetest.Filling{
		Agents: agents, Sessions: sessions, ClientID: client, Began: until.Add(-4 * time.Hour), Until: until,
		Progress: func(done, total int) {
			if done%200_000 == 0 || done == total {
				fmt.Fprintf(os.Stderr, "fill: %d of %d\n", done, total)
			}
		},
	})
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}
