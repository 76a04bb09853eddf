// Packwords compresses locales/*.json to the files that the binary carries:
//
//	go generate ./templates
//
// It is run by hand when words have changed; a test says when it was forgotten.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("locales"); err != nil {
		fmt.Fprintln(os.Stderr, "packwords:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	sources, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return fmt.Errorf("no words in %s", folder)
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		var words map[string]string
		if err := json.Unmarshal(text, &words); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(source+".gz", packed.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
