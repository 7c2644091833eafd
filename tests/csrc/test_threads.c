/* One model run from many threads at once, and runs that the caller cancels. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "net.h"

enum { CALLERS = 4, ROUNDS = 12, SHAPES = 3 };

typedef struct caller {
    const net *n;
    le_model *model;
    feed feeds[SHAPES];
    results expected[SHAPES];
    int number;
    int wrong;
} caller;

static void *call(void *argument)
{
    caller *self = argument;
    const size_t es = dtype_size(self->n->spec.dtype);
    for (int round = 0; round < ROUNDS; round++) {
        const int i = (round + self->number) % SHAPES;
        const feed *f = &self->feeds[i];
        const results *expected = &self->expected[i];
        results got = results_new(self->n, f->batch, f->steps);
        const way how = {1 + round % 3, round % 2 ? LE_SPLIT_UNITS : LE_SPLIT_ROWS, (size_t)(round % 4)};
        /* Counted here and checked by the main thread: the counters of checks are not shared. */
        self->wrong += net_run(self->n, self->model, f, how, &got, NULL) != LE_OK ||
                       memcmp(got.y, expected->y, got.y_count * es) != 0 ||
                       memcmp(got.state, expected->state, got.state_count * es) != 0;
        results_free(&got);
    }
    return NULL;
}

static void concurrent(const char *isa)
{
    const net_spec spec = {.name = "shared model",
                           .isa = isa,
                           .vocabulary = 30,
                           .features = 8,
                           .units = 5,
                           .layers = {{LE_LSTM, LE_BIDIRECTIONAL, 20, 0, 0}, {LE_LSTM, LE_FORWARD, 33, 0, 0}},
                           .activation = {LE_ACT_SOFTMAX, 0, 0}};
    net n = net_new(&spec);
    le_model *model = net_must_build(&n);
    caller all[CALLERS];
    pthread_t threads[CALLERS];
    for (int c = 0; c < CALLERS; c++) {
        all[c] = (caller){.n = &n, .model = model, .number = c};
        for (int i = 0; i < SHAPES; i++) {
            all[c].feeds[i] = feed_new(&n, 2 + (size_t)(c + 3 * i), 6, i % 2, 1);
            all[c].expected[i] = net_must_run(&n, model, &all[c].feeds[i], (way){1, LE_SPLIT_AUTO, 0});
        }
    }
    for (int c = 0; c < CALLERS; c++)
        CHECK(pthread_create(&threads[c], NULL, call, &all[c]) == 0, "no thread");
    for (int c = 0; c < CALLERS; c++) {
        pthread_join(threads[c], NULL);
        CHECK(all[c].wrong == 0, "%s: %d of %d concurrent runs are wrong", isa, all[c].wrong, ROUNDS);
        for (int i = 0; i < SHAPES; i++) {
            feed_free(&all[c].feeds[i]);
            results_free(&all[c].expected[i]);
        }
    }
    le_model_free(model);
    net_free(&n);
}

/* Cancels at the question numbered `at`. */
typedef struct patience {
    int asked, at;
} patience;

static int ask(void *context)
{
    patience *p = context;
    return ++p->asked >= p->at;
}

/* Long enough that the caller is asked, at the least every 20 ms: in many short blocks, or within a single step of many
 * rows. state_out must keep what it held. */
static void cancelled(int threads, le_split split, size_t batch, size_t steps, size_t hidden)
{
    const net_spec spec = {
        .name = "long run", .features = 4, .layers = {{LE_LSTM, LE_FORWARD, hidden, 0, 0}}, .top = TOP_LAST_STATE};
    net n = net_new(&spec);
    le_model *model = net_must_build(&n);
    feed f = feed_new(&n, batch, steps, 0, 0);
    float *state = random_array(&(rng){3}, LE_FLOAT32, batch * n.state_size, 1),
          *before = must_alloc(batch * n.state_size * 4);
    memcpy(before, state, batch * n.state_size * 4);
    void **rows = must_alloc(batch * sizeof *rows);
    for (size_t row = 0; row < batch; row++)
        rows[row] = state + row * n.state_size;
    const le_axis axis = {steps, NULL};
    const void *const inputs[] = {f.x};
    void *const outputs[] = {NULL, NULL, NULL};
    patience p = {0, 1};
    le_run run = {.batch = batch,
                  .axes = &axis,
                  .inputs = inputs,
                  .outputs = outputs,
                  .state_in = (const void *const *)rows,
                  .state_out = rows,
                  .threads = threads,
                  .split = split,
                  .block_steps = 4,
                  .poll = ask,
                  .poll_context = &p};
    le_error error = {LE_OK, -1, ""};
    CHECK(le_model_run(model, &run, &error) == LE_ERROR_CANCELLED, "not cancelled (%d threads): %s", threads, error.message);
    CHECK(p.asked == p.at, "asked %d times", p.asked);
    CHECK(memcmp(state, before, batch * n.state_size * 4) == 0, "a cancelled run changed the state (%d threads)", threads);
    free(state);
    free(before);
    free(rows);
    feed_free(&f);
    le_model_free(model);
    net_free(&n);
}

typedef struct roll {
    atomic_int seen[LE_TEAM_MOST]; /* how often a member of this number began */
    atomic_int fewest, most;       /* of the members that each was told of */
    atomic_int strange;
} roll;

static void answer(int member, int members, void *context)
{
    roll *all = context;
    if (member < 0 || member >= members || members > LE_TEAM_MOST) {
        atomic_fetch_add(&all->strange, 1);
        return;
    }
    atomic_fetch_add(&all->seen[member], 1);
    for (int known = atomic_load(&all->fewest); members < known;)
        if (atomic_compare_exchange_strong(&all->fewest, &known, members))
            break;
    for (int known = atomic_load(&all->most); members > known;)
        if (atomic_compare_exchange_strong(&all->most, &known, members))
            break;
}

/* Every member is told how many were had, however many were asked for: the same number, and each comes once at most. */
static void members_are_counted(int asked)
{
    roll all = {.fewest = LE_TEAM_MOST + 1};
    le_team_run(asked, answer, &all, NULL);
    const int had = atomic_load(&all.most);
    CHECK(atomic_load(&all.strange) == 0, "a member beyond those that it was told of");
    CHECK(had >= 1 && had <= asked && atomic_load(&all.fewest) == had, "asked for %d, told of %d to %d", asked,
          atomic_load(&all.fewest), had);
    CHECK(atomic_load(&all.seen[0]) == 1, "the caller worked %d times", atomic_load(&all.seen[0]));
    for (int i = 1; i < LE_TEAM_MOST; i++)
        CHECK(atomic_load(&all.seen[i]) <= (i < had), "member %d of %d came %d times", i, had, atomic_load(&all.seen[i]));
}

void test_threads(void)
{
    for (int asked = 1; asked <= LE_TEAM_MOST; asked = asked < 4 ? asked + 1 : 4 * asked)
        members_are_counted(asked);
    const char *isa;
    for (size_t number = 0; (isa = supported_isa(number)) != NULL; number++)
        concurrent(isa);
    cancelled(1, LE_SPLIT_AUTO, 8, 1500, 400);
    cancelled(2, LE_SPLIT_ROWS, 8, 1500, 400);
    cancelled(2, LE_SPLIT_UNITS, 8, 1500, 400);
    cancelled(1, LE_SPLIT_AUTO, 10000, 1, 500);
    cancelled(2, LE_SPLIT_ROWS, 10000, 1, 500);
    cancelled(2, LE_SPLIT_UNITS, 10000, 1, 500);
}
