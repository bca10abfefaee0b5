// A PAM module that tells the program that it was come to, and returns what that says.
#include <stdlib.h>
#include <string.h>
#include <security/pam_modules.h>

extern int visit(int id, int fixed);

static int run(int argc, const char **argv) {
	int id = -1, fixed = -1;
	for (int n = 0; n < argc; n++) {
		if (!strncmp(argv[n], "id=", 3)) id = atoi(argv[n] + 3);
		if (!strncmp(argv[n], "returns=", 8)) fixed = atoi(argv[n] + 8);
	}
	return visit(id, fixed);
}

#define ENTRY(name) int name(pam_handle_t *h, int flags, int argc, const char **argv) { return run(argc, argv); }
ENTRY(pam_sm_authenticate)
ENTRY(pam_sm_acct_mgmt)
ENTRY(pam_sm_open_session)
ENTRY(pam_sm_setcred)
ENTRY(pam_sm_close_session)
ENTRY(pam_sm_chauthtok)
