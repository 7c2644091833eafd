/* The C tests: le_tests [--isa name] [--threading name] [--one-in N] [test ...]; all tests, on all instruction sets and with
 * all combinations, unless told otherwise.
 * Exit code 0: all checks hold; 1: some do not; 2: usage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "net.h"

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"weights", test_weights},
    {"shared", test_shared},
    {"models", test_models},
    {"extras", test_extras},
    {"bits", test_bits},
    {"states", test_states},
    {"kernels", test_kernels},
    {"products", test_products},
    {"integers", test_integers},
    {"small", test_small},
    {"activations", test_activations},
    {"numbers", test_numbers},
    {"errors", test_errors},
    {"allocation", test_allocation},
    {"outputs", test_outputs},
    {"threads", test_threads},
    {"steps", test_steps},
};

enum { TESTS = sizeof tests / sizeof tests[0] };

static int known(const char *name)
{
    for (int i = 0; i < TESTS; i++)
        if (strcmp(name, tests[i].name) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--isa") == 0) {
        if (!only_isa(argv[2])) {
            fprintf(stderr, "no supported instruction set is called '%s'\n", argv[2]);
            return 2;
        }
        argv += 2;
        argc -= 2;
    }
    if (argc > 2 && strcmp(argv[1], "--threading") == 0) {
        if (le_threading_set(argv[2]) != LE_OK) {
            fprintf(stderr, "this build has no threads called '%s'\n", argv[2]);
            return 2;
        }
        argv += 2;
        argc -= 2;
    }
    if (argc > 2 && strcmp(argv[1], "--one-in") == 0) {
        const long number = strtol(argv[2], NULL, 10);
        if (number < 1) {
            fprintf(stderr, "one combination in '%s' is none\n", argv[2]);
            return 2;
        }
        combinations_one_in(number);
        argv += 2;
        argc -= 2;
    }
    for (int i = 1; i < argc; i++)
        if (!known(argv[i])) {
            fprintf(stderr, "no test is called '%s'; there are:", argv[i]);
            for (int t = 0; t < TESTS; t++)
                fprintf(stderr, " %s", tests[t].name);
            fprintf(stderr, "\n");
            return 2;
        }
    le_threads_init();
    for (int t = 0; t < TESTS; t++) {
        int wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            wanted |= strcmp(argv[i], tests[t].name) == 0;
        if (!wanted)
            continue;
        const long before = checks_done(), failed = checks_failed();
        checks_begin();
        tests[t].run();
        printf("%-12s %8ld checks, %ld failed\n", tests[t].name, checks_done() - before, checks_failed() - failed);
        fflush(stdout);
    }
    printf("%s: %ld checks, %ld failed; instruction sets:", checks_failed() ? "FAILED" : "passed", checks_done(),
           checks_failed());
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        printf(" %s", isa);
    printf("; threads: %s\n", le_threading());
    return checks_failed() != 0;
}
