/* SoftHSM's module, which begins no signature while the file $EXEUNT_TEST_TOKENS/fault is there, and
 * writes a line into $EXEUNT_TEST_TOKENS/calls for each of the calls that are replaced. */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long CK_RV;
#define CKR_FUNCTION_FAILED 0x06

/* CK_FUNCTION_LIST of PKCS #11 2.40: a version, and 68 functions in the order of the standard. */
struct list {
    unsigned char version[2];
    void *functions[68];
};
enum { INITIALIZE = 0, GET_FUNCTION_LIST = 3, LOGIN = 18, SIGN_INIT = 42 };

static struct list real, ours;

static const char *path(const char *name) {
    static __thread char full[4096];
    snprintf(full, sizeof full, "%s/%s", getenv("EXEUNT_TEST_TOKENS"), name);
    return full;
}

static void called(const char *what) {
    FILE *file = fopen(path("calls"), "a");
    if (file) {
        fprintf(file, "%s\n", what);
        fclose(file);
    }
}

static CK_RV initialize(void *args) {
    called("initialize");
    return ((CK_RV (*)(void *))real.functions[INITIALIZE])(args);
}

static CK_RV login(unsigned long session, unsigned long user, void *pin, unsigned long length) {
    called("login");
    return ((CK_RV (*)(unsigned long, unsigned long, void *, unsigned long))real.functions[LOGIN])(
        session, user, pin, length);
}

static CK_RV sign_init(unsigned long session, void *mechanism, unsigned long key) {
    called("sign");
    if (access(path("fault"), F_OK) == 0)
        return CKR_FUNCTION_FAILED;
    return ((CK_RV (*)(unsigned long, void *, unsigned long))real.functions[SIGN_INIT])(
        session, mechanism, key);
}

CK_RV C_GetFunctionList(struct list **out);

CK_RV C_GetFunctionList(struct list **out) {
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    struct list *found;
    CK_RV (*get)(struct list **) =
        library ? (CK_RV (*)(struct list **))dlsym(library, "C_GetFunctionList") : NULL;
    if (!get || get(&found) != 0)
        return CKR_FUNCTION_FAILED;
    memcpy(&real, found, sizeof real);
    memcpy(&ours, found, sizeof ours);
    ours.functions[INITIALIZE] = (void *)initialize;
    ours.functions[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
    ours.functions[LOGIN] = (void *)login;
    ours.functions[SIGN_INIT] = (void *)sign_init;
    *out = &ours;
    return 0;
}
