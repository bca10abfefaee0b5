package event

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// ChainConfig says where a chain is and how much of it is kept.
type ChainConfig struct {
	Dir    string // of its own; it is made when there is something to write
	Sealer Sealer
	// Keep is how many bytes are kept, about, and KeepFor how long; what is reached first
	// counts. 0 is DefaultKeep, and no end.
	Keep    int64
	KeepFor time.Duration
	// Trouble is told when events begin to be lost, once until it is over. May be nil.
	Trouble func(error)
}

// DefaultKeep is how many bytes of the log are kept if nobody says otherwise.
const DefaultKeep = 64 << 20

const (
	maxSegment = 4 << 20
	minSegment = 64 << 10
	perKeep    = 8    // at least so many segments are in what is kept
	maxQueue   = 4096 // events that wait for the disk
	sealEvery  = time.Second
	sealAgain  = 30 * time.Second // after the disk refused
)

// Chain is the event log in files that prove themselves. Append takes events at any
// time and never waits for the disk; Run writes them. Only one process may have a chain
// open: whoever holds the ledger's lock.
//
// What a file system does to it: a line is written at once and safe on the disk after a
// second; what was half written when the power went is cut off when it is opened next.
// On a full disk events are counted, and the chain says how many are missing as soon as
// it can be written again. A chain whose end is not what its head says is left as it is,
// and another one begun behind it.
type Chain struct {
	cfg     ChainConfig
	segment int64 // bytes after which a segment is full
	kick    chan struct{}

	mu    sync.Mutex // guards the queue
	queue []Event
	lost  uint64 // events that are in no file, since it was last said there
	gone  uint64 // likewise, ever
	wrong error  // what went wrong last; nil where nothing did

	files  sync.Mutex // guards all below
	root   *os.Root   // nil while it is not open
	dir    fs.FileInfo
	file   *os.File // the segment that is written to
	is     fs.FileInfo
	number uint64    // its number
	size   int64     // its length; 0 while it has no head line
	began  time.Time // when it did
	end    place     // of what is in the file
	head   *head
}

// NewChain makes a chain. It touches no file.
func NewChain(c ChainConfig) (*Chain, error) {
	if c.Dir == "" || c.Sealer == nil || c.Keep < 0 || c.KeepFor < 0 {
		return nil, errors.New("event log: incomplete configuration")
	}
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	return &Chain{cfg: c, segment: min(maxSegment, max(minSegment, c.Keep/perKeep)), kick: make(chan struct{}, 1)}, nil
}

// Append takes an event down. It does not wait: where the disk is slower than what
// happens, events are counted as lost.
func (c *Chain) Append(e Event) {
	c.mu.Lock()
	if len(c.queue) < maxQueue {
		c.queue = append(c.queue, e)
	} else {
		c.lost++
		c.gone++
	}
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Lost returns how many events could not be written, ever.
func (c *Chain) Lost() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// Run writes what is appended, and seals it once a second, until ctx ends. The rest is
// Close's.
func (c *Chain) Run(ctx context.Context) error {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	var failed time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
			_ = c.work((*Chain).flush) // Trouble was told
		case <-tick.C:
			if time.Since(failed) < sealAgain {
				continue // a seal that could not be kept takes room, too
			}
			if c.work((*Chain).tidy) != nil {
				failed = time.Now()
			}
		}
	}
}

// Sync writes and seals all that was appended.
func (c *Chain) Sync() error { return c.work((*Chain).tidy) }

// Close writes and seals what is left, and closes the files. What is appended later
// opens them again.
func (c *Chain) Close() error {
	c.mu.Lock()
	idle := len(c.queue) == 0 && c.lost == 0
	c.mu.Unlock()
	c.files.Lock()
	idle = idle && c.root == nil
	c.files.Unlock()
	if idle {
		return nil
	}
	err := c.Sync()
	c.files.Lock()
	defer c.files.Unlock()
	return errors.Join(err, c.drop())
}

// Last is the last line that is sealed: whoever notes it elsewhere can prove later that
// nothing up to there was changed. It is of number 0 if there is none.
func (c *Chain) Last() Note {
	c.files.Lock()
	defer c.files.Unlock()
	if c.head == nil {
		return Note{}
	}
	p, err := c.head.end()
	if err != nil {
		return Note{}
	}
	return Note{p.seq, p.hash}
}

// Verify checks the chain as Verify does, while it is open.
func (c *Chain) Verify(ctx context.Context, notes ...Note) Report {
	trouble := c.Sync()
	c.files.Lock()
	defer c.files.Unlock()
	report := Verify(ctx, c.cfg.Dir, c.cfg.Sealer, notes...)
	if trouble != nil && report.Verdict == Whole {
		report.Verdict, report.Why = Unknown, trouble.Error()
	}
	return report
}

// Dir is where the chain's files are.
func (c *Chain) Dir() string { return c.cfg.Dir }

// work does something to the files, and tells of what goes wrong.
func (c *Chain) work(do func(*Chain) error) error {
	c.files.Lock()
	defer c.files.Unlock()
	err := do(c)
	if err != nil {
		// What is in the files is looked at anew before anything is added to them.
		err = errors.Join(err, c.drop())
	}
	c.mu.Lock()
	before := c.wrong
	c.wrong = err
	c.mu.Unlock()
	if err != nil && before == nil && c.cfg.Trouble != nil {
		c.cfg.Trouble(err)
	}
	return err
}

// Wrong is why the chain cannot be written now; nil where it can.
func (c *Chain) Wrong() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// tidy writes what waits, seals it, and sees to what is old.
func (c *Chain) tidy() error {
	if err := c.flush(); err != nil || c.root == nil {
		return err
	}
	if err := c.seal(); err != nil {
		return err
	}
	if age := c.cfg.KeepFor / perKeep; age > 0 && c.size > 0 && time.Since(c.began) > age {
		return c.rotate()
	}
	return nil
}

// flush writes what waits. What cannot be written is lost and counted.
func (c *Chain) flush() (err error) {
	c.mu.Lock()
	batch, lost := c.queue, c.lost
	c.queue, c.lost = nil, 0
	c.mu.Unlock()
	if len(batch) == 0 && lost == 0 {
		return nil
	}
	written := 0
	defer func() {
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.gone += uint64(len(batch) - written)
			c.lost += lost + uint64(len(batch)-written)
		}
	}()
	if err := c.open(); err != nil {
		return err
	}
	if lost > 0 {
		if err := c.write(Event{Time: time.Now().UTC(), Kind: EventsLost, Detail: thousands(lost) + " of them"}); err != nil {
			return err
		}
		lost = 0
	}
	for written < len(batch) {
		// A segment may be longer than it should be by one batch.
		n := min(256, len(batch)-written)
		if err := c.write(batch[written : written+n]...); err != nil {
			return err
		}
		written += n
		if c.size >= c.segment {
			if err := c.rotate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// write adds events to the segment in one go: all or none of them.
func (c *Chain) write(events ...Event) error {
	var lines []byte
	end, began := c.end, c.began
	if c.size == 0 {
		began = time.Now().UTC()
		text, err := textOf(headLine{end.seq + 1, began, c.number, end.hash.String(), keyText(end.key)})
		if err != nil {
			return err
		}
		lines = end.add(lines, text)
	}
	for _, e := range events {
		text, err := textOf(eventLine{end.seq + 1, e.short()})
		if err != nil {
			return err
		}
		lines = end.add(lines, text)
	}
	if err := c.put(lines); err != nil {
		return err
	}
	c.end, c.began = end, began
	return nil
}

// add links one line more to a chain.
func (p *place) add(lines, text []byte) []byte {
	line, hash := link(p.hash, text)
	p.seq, p.hash = p.seq+1, hash
	return append(lines, line...)
}

// put appends whole lines to the segment's file, or nothing.
func (c *Chain) put(lines []byte) error {
	n, err := c.file.WriteAt(lines, c.size)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, c.file.Truncate(c.size))
		}
		return fmt.Errorf("write the event log: %w", err)
	}
	c.size += int64(n)
	return nil
}

// seal signs what is not signed yet, makes it safe on the disk, and forgets the key.
func (c *Chain) seal() error {
	if c.head.SealSeq == c.end.seq {
		return nil
	}
	private := c.head.next()
	made := private.Public().(ed25519.PublicKey)
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	next := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	text, err := textOf(sealLine{c.end.seq + 1, time.Now().UTC(), keyText(made), keyText(next)})
	if err != nil {
		return err
	}
	sig := ed25519.Sign(private, signed(c.end.hash, text))
	text = append(append(text, beforeSig...), base64.RawURLEncoding.EncodeToString(sig)+`"`...)
	end := c.end
	if err := c.put(end.add(nil, text)); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("write the event log: %w", err)
	}
	h := *c.head
	h.Segment, h.Offset, h.SealSeq, h.Sealed, h.Made, h.Private = c.number, c.size, end.seq, end.hash.String(), made, seed
	if err := h.save(c.root, c.cfg.Sealer); err != nil {
		return fmt.Errorf("write the event log's head: %w", err)
	}
	end.key, end.again, end.seal = next, made, end.seq
	c.head, c.end = &h, end
	return nil
}

// rotate begins the next segment, and removes what is too much or too old.
func (c *Chain) rotate() error {
	if err := c.seal(); err != nil {
		return err
	}
	if err := c.take(c.number + 1); err != nil {
		return err
	}
	return c.prune()
}

// take makes a segment and goes on there. Its head line comes with the first event.
func (c *Chain) take(number uint64) error {
	f, err := c.root.OpenFile(segmentName(number), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the event log: %w", err)
	}
	var closed error
	if c.file != nil {
		closed = c.file.Close()
	}
	c.file, c.number, c.size = f, number, 0
	c.is, err = f.Stat()
	return errors.Join(closed, err, syncRoot(c.root))
}

// prune removes the oldest segments while there is too much, or they are too old. The
// head says first what goes, and where the rest begins.
func (c *Chain) prune() error {
	numbers, err := segments(c.root)
	if err != nil {
		return err
	}
	var total int64
	sizes := make([]int64, len(numbers))
	for i, n := range numbers {
		if info, err := c.root.Lstat(segmentName(n)); err == nil {
			sizes[i] = info.Size()
			total += sizes[i]
		}
	}
	goes := 0
	for goes < len(numbers) && numbers[goes] < c.number && (total > c.cfg.Keep-c.segment || c.tooOld(numbers[goes])) {
		total -= sizes[goes]
		goes++
	}
	if goes == 0 {
		return nil
	}
	h := *c.head
	h.Gone = numbers[goes]
	if h.Gone > h.First {
		// Where its head line cannot be read the log stays one that has a hole.
		if first, err := firstLine(c.root, h.Gone); err == nil {
			key, err := readKey(first.Key)
			if err == nil {
				h.First, h.Seq, h.After, h.Key = h.Gone, first.Seq-1, first.After, key
			}
		} else if h.Gone == c.number && c.size == 0 {
			h.First, h.Seq, h.After, h.Key = c.number, c.end.seq, c.end.hash.String(), c.end.key
		}
	}
	if err := h.save(c.root, c.cfg.Sealer); err != nil {
		return fmt.Errorf("write the event log's head: %w", err)
	}
	c.head = &h
	return c.removeGone(numbers)
}

// removeGone removes the files of what the head says is gone.
func (c *Chain) removeGone(numbers []uint64) (err error) {
	for _, n := range numbers {
		if n < c.head.Gone {
			if e := c.root.Remove(segmentName(n)); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// tooOld reports whether all of a segment happened too long ago: the next one began then.
func (c *Chain) tooOld(number uint64) bool {
	if c.cfg.KeepFor == 0 {
		return false
	}
	next, err := firstLine(c.root, number+1)
	return err == nil && time.Since(next.Time) > c.cfg.KeepFor
}

// firstLine reads the head line of a segment.
func firstLine(root *os.Root, number uint64) (record, error) {
	f, err := openSegment(root, number)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	line, err := newLines(f).next()
	if err != nil {
		return record{}, err
	}
	r, err := readRecord(line)
	if err == nil && (r.Segment != number || r.Seq == 0) {
		err = errors.New("it is not the head of its segment")
	}
	return r, err
}

// drop closes the files without a word more.
func (c *Chain) drop() (err error) {
	if c.file != nil {
		err = c.file.Close()
	}
	if c.root != nil {
		err = errors.Join(err, c.root.Close())
	}
	c.root, c.file, c.size = nil, nil, 0
	return err
}

// open opens the files, if they are not, and goes on where they end. Files that were moved
// or removed while they were written are none any more: nobody would find what is in them.
func (c *Chain) open() error {
	taken := ""
	if c.root != nil {
		if c.inPlace() {
			return nil
		}
		taken = "its files were taken away while they were written"
		if err := c.drop(); err != nil {
			return fmt.Errorf("open the event log: %w", err)
		}
	}
	if err := os.Mkdir(c.cfg.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("open the event log: %w", err)
	}
	root, err := os.OpenRoot(c.cfg.Dir)
	if err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	c.root = root
	if c.dir, err = root.Stat("."); err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	numbers, err := segments(root)
	if err != nil {
		return err
	}
	last := uint64(0) // segment that there is, or was
	if len(numbers) > 0 {
		last = numbers[len(numbers)-1]
	}
	h, err := loadHead(root, c.cfg.Sealer)
	var anew *anewError
	switch {
	case err == nil:
		last = max(last, h.Segment)
		err = c.resume(h, numbers)
	case errors.Is(err, fs.ErrNotExist) && len(numbers) == 0:
		return c.begin(0, taken)
	case errors.Is(err, fs.ErrNotExist):
		err = &anewError{"its head is missing"}
	case errors.Is(err, errHead):
		err = &anewError{err.Error()}
	}
	if errors.As(err, &anew) {
		return c.begin(last, anew.why)
	}
	return err
}

// inPlace reports whether the files that were opened are those that have their names now.
func (c *Chain) inPlace() bool {
	dir, err := os.Stat(c.cfg.Dir)
	if err != nil || !os.SameFile(dir, c.dir) {
		return false
	}
	segment, err := c.root.Lstat(segmentName(c.number))
	return err == nil && os.SameFile(segment, c.is)
}

// anewError says why a chain cannot be gone on with.
type anewError struct{ why string }

func (e *anewError) Error() string { return e.why }

// begin begins a chain behind the last segment of another, which cannot be gone on
// with; or the first one, if there is none. Until what is before it is gone for its age,
// the log is one that does not prove all of itself.
func (c *Chain) begin(last uint64, why string) error {
	if c.file != nil {
		if err := c.file.Close(); err != nil {
			return err
		}
		c.file = nil
	}
	h := &head{Gone: 1, First: last + 1, Segment: last + 1, After: Hash{}.String(), Sealed: Hash{}.String(), Private: make([]byte, ed25519.SeedSize)}
	rand.Read(h.Private)
	h.Key = h.next().Public().(ed25519.PublicKey)
	if err := h.save(c.root, c.cfg.Sealer); err != nil {
		return fmt.Errorf("begin the event log: %w", err)
	}
	end, err := h.end()
	if err != nil {
		return err
	}
	c.head, c.end = h, end
	if err := c.take(h.First); err != nil {
		return err
	}
	first := Event{Time: time.Now().UTC(), Kind: LogBegun}
	if why != "" {
		first.Detail = "anew, for the one before cannot be gone on with: " + why
	}
	return c.write(first)
}

// resume goes on where a chain ends: behind its last seal come the lines of its last
// second, and perhaps half a line.
func (c *Chain) resume(h *head, numbers []uint64) error {
	end, err := h.end()
	if err != nil {
		return err
	}
	c.head, c.end = h, end
	if err := c.removeGone(numbers); err != nil {
		return err
	}
	last := h.Segment
	if len(numbers) > 0 && numbers[len(numbers)-1] > last {
		last++
		if numbers[len(numbers)-1] > last {
			return &anewError{"there are more segments than it wrote"}
		}
	}
	cut, err := c.enter(h.Segment, h.Offset)
	if errors.Is(err, fs.ErrNotExist) && h.Offset == 0 && last == h.Segment {
		return c.take(h.Segment) // the power went in between
	}
	if err != nil {
		return err
	}
	if last > h.Segment {
		if cut > 0 || c.head.SealSeq != c.end.seq {
			return &anewError{"there are more segments than it wrote"}
		}
		if err := c.file.Close(); err != nil {
			return err
		}
		c.file = nil
		if cut, err = c.enter(last, 0); err != nil {
			return err
		}
	}
	if cut > 0 {
		return c.write(Event{Time: time.Now().UTC(), Kind: LogRepaired, Detail: thousands(uint64(cut)) + " bytes, of the last second before it was stopped"})
	}
	return nil
}

// enter opens a segment for writing, follows its lines from a place on, and cuts off
// what does not follow.
func (c *Chain) enter(number uint64, from int64) (cut int64, err error) {
	f, err := c.root.OpenFile(segmentName(number), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && from > 0 {
			return 0, &anewError{fmt.Sprintf("segment %d is missing", number)}
		}
		return 0, fmt.Errorf("open the event log: %w", err)
	}
	c.file, c.number, c.size = f, number, from
	info, err := f.Stat()
	c.is = info
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, &anewError{segmentName(number) + " is no file"}
	case info.Size() < from:
		return 0, &anewError{"lines are missing at its end"}
	case from > 0 && !c.endsWithSeal(f, from):
		return 0, &anewError{"its last seal is not what was written"}
	}
	if from > 0 {
		if first, err := firstLine(c.root, number); err == nil {
			c.began = first.Time
		}
	}
	lines := newLines(io.NewSectionReader(f, from, info.Size()-from))
	for {
		line, err := lines.next()
		if err != nil {
			break // the end, or half a line
		}
		r, err := c.end.step(line)
		if err != nil {
			break
		}
		if r.Segment != 0 {
			c.began = r.Time
		}
		c.size += int64(len(line)) + 1
	}
	if cut = info.Size() - c.size; cut > 0 {
		if err := f.Truncate(c.size); err != nil {
			return cut, fmt.Errorf("repair the event log: %w", err)
		}
	}
	return cut, nil
}

// endsWithSeal reports whether what is before an offset is the last seal.
func (c *Chain) endsWithSeal(f *os.File, offset int64) bool {
	tail := make([]byte, min(offset, int64(hashEnd)+1))
	if _, err := f.ReadAt(tail, offset-int64(len(tail))); err != nil {
		return false
	}
	_, hash, err := splitLine(bytes.TrimSuffix(tail, []byte("\n")))
	return err == nil && hash == c.end.hash
}

// lines reads whole lines, of a length that one may have.
type lines struct {
	r     *bufio.Reader
	begun int64 // what was read of a line that is too long, or not whole
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxLine+1)} }

// errTorn is returned at the end of what has no line end, and for a line that is too long.
var errTorn = errors.New("it is half a line, or longer than any that is written here")

// next returns the next line without its line end, until it is called again; io.EOF
// behind the last one.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
		l.begun = int64(len(line))
		return nil, errTorn
	}
	return nil, err
}

// skip passes the rest of a line that was torn, and says how long all of it is, and
// whether it has an end.
func (l *lines) skip() (length int64, whole bool, err error) {
	length = l.begun
	for {
		part, err := l.r.ReadSlice('\n')
		length += int64(len(part))
		switch {
		case err == nil:
			return length, true, nil
		case errors.Is(err, io.EOF):
			return length, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return length, false, err
		}
	}
}
