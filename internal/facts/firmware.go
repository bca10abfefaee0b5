package facts

import (
	"errors"
	"fmt"
)

// SecureBoot reports whether the firmware of the running host checks what it starts.
func (h *Host) SecureBoot() (bool, error) {
	const file = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	at, err := resolve(h.Tree, file, true)
	if err != nil {
		return false, err
	}
	data, err := h.Tree.ReadFile(at, 64)
	if err != nil {
		return false, err
	}
	if len(data) < 5 {
		return false, fmt.Errorf("%s: %w", file, errors.New("too short"))
	}
	return data[4] == 1, nil // after four bytes of attributes
}
