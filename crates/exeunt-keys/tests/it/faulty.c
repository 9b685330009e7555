/* SoftHSM's module, which begins no signature while the file $EXEUNT_TEST_TOKENS/fault is there, and
 * writes a line into $EXEUNT_TEST_TOKENS/calls for each of the calls that are replaced. After a refused
 * PIN, every token has the flags that $EXEUNT_TEST_TOKENS/flags says in hexadecimal, too. */

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
enum { INITIALIZE = 0, GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, LOGIN = 18, SIGN_INIT = 42 };

/* CK_TOKEN_INFO, up to what is of use here. */
struct token_info {
    unsigned char names[96];
    unsigned long flags;
};

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
    CK_RV said;
    called("login");
    said = ((CK_RV (*)(unsigned long, unsigned long, void *, unsigned long))real.functions[LOGIN])(
        session, user, pin, length);
    if (said != 0)
        called("refused");
    return said;
}

static CK_RV get_token_info(unsigned long slot, struct token_info *info) {
    CK_RV said =
        ((CK_RV (*)(unsigned long, struct token_info *))real.functions[GET_TOKEN_INFO])(slot, info);
    char line[32];
    unsigned long flags = 0;
    int refused = 0;
    FILE *file = fopen(path("calls"), "r");
    while (file && fgets(line, sizeof line, file))
        refused = refused || strcmp(line, "refused\n") == 0;
    if (file)
        fclose(file);
    file = fopen(path("flags"), "r");
    if (file && fscanf(file, "%lx", &flags) != 1)
        flags = 0;
    if (file)
        fclose(file);
    if (said == 0 && refused)
        info->flags |= flags;
    return said;
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
    ours.functions[GET_TOKEN_INFO] = (void *)get_token_info;
    ours.functions[LOGIN] = (void *)login;
    ours.functions[SIGN_INIT] = (void *)sign_init;
    *out = &ours;
    return 0;
}
