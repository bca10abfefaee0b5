// Shows stacks to libpam: a line "DIRECTORY MODULES" is answered with a line for each of
// auth, account and session, of the modules that some values of theirs let libpam come to,
// with "+" before it if the stack succeeds with some.
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include <security/pam_appl.h>

enum { MOST = 64 };
static int returns[MOST], seen[MOST];

int visit(int id, int fixed) {
	if (id < 0 || id >= MOST) return PAM_ABORT;
	seen[id] = 1;
	return fixed >= 0 ? fixed : returns[id];
}

static int none(int n, const struct pam_message **m, struct pam_response **r, void *p) { return PAM_CONV_ERR; }

int main(void) {
	static const int values[] = {PAM_SUCCESS, PAM_AUTH_ERR, PAM_IGNORE, PAM_NEW_AUTHTOK_REQD};
	struct pam_conv conv = {none, NULL};
	char dir[4096];
	int modules;
	while (scanf("%4095s %d", dir, &modules) == 2) {
		for (int kind = 0; kind < 3; kind++) {
			int succeeds = 0;
			pam_handle_t *h = NULL;
			memset(seen, 0, sizeof seen);
			if (pam_start_confdir("svc", "nobody", &conv, dir, &h) != PAM_SUCCESS) {
				printf("!\n");
				continue;
			}
			long all = 1;
			for (int n = 0; n < modules; n++) all *= 4;
			for (long choice = 0; choice < all; choice++) {
				long rest = choice;
				for (int n = 0; n < modules; n++, rest /= 4) returns[n] = values[rest % 4];
				int got = kind == 0 ? pam_authenticate(h, PAM_SILENT) : kind == 1 ? pam_acct_mgmt(h, PAM_SILENT) : pam_open_session(h, PAM_SILENT);
				if (got == PAM_SUCCESS) succeeds = 1;
			}
			pam_end(h, PAM_SUCCESS);
			printf("%s", succeeds ? "+" : "-");
			for (int n = 0; n < MOST; n++) if (seen[n]) printf(" %d", n);
			printf("\n");
		}
		fflush(stdout);
		closelog();
		closefrom(3); // libpam leaves files open where it cannot read one
	}
	return 0;
}
