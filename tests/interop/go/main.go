// Checks a checkpoint, inclusion proofs and a consistency proof of the log with the Go team's own code for the same formats.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Key, Older, Newer string
	Consistency       []tlog.Hash
	Proofs            []struct {
		Header []byte
		Index  int64
		Path   []tlog.Hash
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return value
}

// open gives the size and the root of a signed checkpoint.
func open(key, text string) (int64, tlog.Hash) {
	known := note.VerifierList(must(note.NewVerifier(key)))
	lines := strings.Split(must(note.Open([]byte(text), known)).Text, "\n")
	var root tlog.Hash
	copy(root[:], must(base64.StdEncoding.DecodeString(lines[2])))
	return must(strconv.ParseInt(lines[1], 10, 64)), root
}

func main() {
	var in input
	must(0, json.NewDecoder(os.Stdin).Decode(&in))
	older, olderRoot := open(in.Key, in.Older)
	newer, newerRoot := open(in.Key, in.Newer)
	must(0, tlog.CheckTree(in.Consistency, newer, newerRoot, older, olderRoot))
	for _, proof := range in.Proofs {
		must(0, tlog.CheckRecord(proof.Path, newer, newerRoot, proof.Index, tlog.RecordHash(proof.Header)))
	}
	fmt.Println("ok", older, newer, len(in.Proofs))
}
