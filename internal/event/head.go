package event

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"
)

// Sealer encrypts what only this house may read and write, and binds it to a name. The
// ledger does.
type Sealer interface {
	Seal(name string, secret []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
}

// head is what is kept beside the chain: how far it goes, where it begins, and the key
// of the next seal.
type head struct {
	Gone    uint64 `json:"gone"`    // segments with a lower number were removed for their age
	First   uint64 `json:"first"`   // the segment in which what can be proved begins
	Seq     uint64 `json:"seq"`     // of the last line before it
	After   string `json:"after"`   // likewise, its hash
	Key     []byte `json:"key"`     // of the first seal in it
	Segment uint64 `json:"segment"` // where the last seal is
	Offset  int64  `json:"offset"`  // where it ends there
	SealSeq uint64 `json:"sealSeq"` // of the last seal; Seq before there is one
	Sealed  string `json:"sealed"`  // its hash; After before there is one
	Made    []byte `json:"made"`    // the key that made it; may be empty
	Private []byte `json:"private"` // seed of the key of the next one
}

const (
	headName     = "head"
	headSealed   = "events/head"
	maxHead      = 4 << 10
	segmentEnd   = ".jsonl"
	segmentWidth = 8
)

// next is the key of the next seal.
func (h *head) next() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(h.Private) }

// begin is where what can be proved begins.
func (h *head) begin() (place, error) {
	hash, err := ParseHash(h.After)
	return place{seq: h.Seq, hash: hash, key: h.Key}, err
}

// end is the last seal.
func (h *head) end() (place, error) {
	hash, err := ParseHash(h.Sealed)
	key := h.next().Public().(ed25519.PublicKey)
	p := place{seq: h.SealSeq, hash: hash, key: key, seal: h.SealSeq}
	if len(h.Made) > 0 {
		p.again = h.Made
	}
	return p, err
}

// ok reports whether all is there that others take for granted.
func (h *head) ok() bool {
	fits := func(b []byte, empty bool) bool { return len(b) == ed25519.PublicKeySize || empty && len(b) == 0 }
	_, one := ParseHash(h.After)
	_, other := ParseHash(h.Sealed)
	return len(h.Private) == ed25519.SeedSize && fits(h.Key, false) && fits(h.Made, true) &&
		h.First > 0 && h.Segment >= h.First && h.Offset >= 0 && h.SealSeq >= h.Seq && one == nil && other == nil
}

// loadHead reads the head; fs.ErrNotExist if there is none, errHead if it cannot be read.
func loadHead(root *os.Root, sealer Sealer) (*head, error) {
	f, err := root.OpenFile(headName, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read the event log's head: %w", err)
	}
	defer f.Close()
	sealed, err := io.ReadAll(io.LimitReader(f, maxHead))
	if err != nil {
		return nil, fmt.Errorf("read the event log's head: %w", err)
	}
	plain, err := sealer.Open(headSealed, sealed)
	if err != nil {
		return nil, errHead
	}
	h := &head{}
	if err := json.Unmarshal(plain, h); err != nil || !h.ok() {
		return nil, errHead
	}
	return h, nil
}

// errHead is returned where the head is not what was written, or the ledger's key is another.
var errHead = errors.New("the event log's head cannot be opened: it was changed, or sealed with another key than the ledger's")

// save puts the head in the place of the one before, which is durable when it returns.
func (h *head) save(root *os.Root, sealer Sealer) error {
	plain, err := json.Marshal(h)
	if err != nil {
		return err
	}
	const fresh = headName + ".new"
	f, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(sealer.Seal(headSealed, plain))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := root.Rename(fresh, headName); err != nil {
		return err
	}
	return syncRoot(root)
}

func syncRoot(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// segmentName is the name of a segment's file.
func segmentName(n uint64) string { return fmt.Sprintf("%0*d", segmentWidth, n) + segmentEnd }

// segments returns the numbers of the segments that are there, in order.
func segments(root *os.Root) ([]uint64, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read the event log: %w", err)
	}
	var found []uint64
	for _, e := range entries {
		number, is := strings.CutSuffix(e.Name(), segmentEnd)
		if n, err := strconv.ParseUint(number, 10, 64); is && err == nil && n > 0 && segmentName(n) == path.Base(e.Name()) {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, nil
}

// openSegment opens a segment for reading.
func openSegment(root *os.Root, n uint64) (*os.File, error) {
	f, err := root.OpenFile(segmentName(n), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, f.Close(), fmt.Errorf("%s is no file", segmentName(n)))
	}
	return f, nil
}
