#include "model/schedule.h"

#include "base/cpu.h"
#include "base/team.h"

/* Arithmetic below which waking a second thread costs more than it gives: a parallel region and its barrier take their
 * time, and idle threads may be asleep (what was measured for this and the constants below: docs/performance.md). */
#define LE_SMALL_FLOPS 1.5e6

/* Weights per step above which one core no longer finds them in its own cache, as a share of L2. */
#define LE_RESIDENT_SHARE 0.75

/* Rows of a thread from which the arithmetic on a weight takes longer than to fetch it from the last cache. */
#define LE_HIDING_ROWS 32

/* Bytes of a recurrent layer's weights that a run of one step reads. */
static double single_bytes(const le_op *op, const le_run *run)
{
    const le_recurrent_layer *layer = &op->as.recurrent;
    const size_t idle = le_op_from_zero(op, run) ? (size_t)layer->dirs * le_recurrent_idle_bytes(layer) : 0;
    return (double)(le_recurrent_bytes(layer) - idle);
}

static double total_flops(const le_model *model, const le_run *run)
{
    double total = 0;
    for (int i = 0; i < model->stage_count; i++) {
        const le_stage *stage = &model->stages[i];
        const double steps = stage->axis < 0 ? 1 : (double)run->axes[stage->axis].steps;
        total += stage->flops * (double)run->batch * steps;
    }
    /* A first step from a zero state has no product with it. */
    for (int i = 0; i < model->op_count; i++)
        if (model->ops[i].kind == LE_OP_RECURRENT && le_op_from_zero(&model->ops[i], run)) {
            const le_recurrent_layer *layer = &model->ops[i].as.recurrent;
            total -= 2.0 * layer->dirs * le_recurrent_idle_products(layer) / layer->products->speed * (double)run->batch;
        }
    return total > 0 ? total : 0;
}

/* Bytes of recurrent layers' weights that are read again and again: those of h in the largest layer, at every step; in
 * a run of one step, which is one of many calls, all of all layers. */
static double step_bytes(const le_model *model, const le_run *run)
{
    double largest = 0, single = 0;
    for (int i = 0; i < model->stage_count; i++) {
        const le_stage *stage = &model->stages[i];
        const int once = stage->axis < 0 || run->axes[stage->axis].steps <= 1;
        for (int j = stage->first; j < stage->last; j++)
            if (model->ops[j].kind == LE_OP_RECURRENT) {
                const le_recurrent_layer *layer = &model->ops[j].as.recurrent;
                const double bytes = (double)le_recurrent_step_bytes(layer);
                largest = bytes > largest && !once ? bytes : largest;
                single += once ? single_bytes(&model->ops[j], run) : 0;
            }
    }
    return largest > single ? largest : single;
}

void le_stage_share(const le_model *model, const le_stage *stage, int member, int members, int *first, int *last)
{
    double before = 0;
    *first = *last = stage->last;
    for (int i = stage->first; i < stage->last; i++) {
        const double flops = le_op_flops(model, &model->ops[i]);
        int owner = (int)((before + flops / 2) / stage->flops * members);
        owner = owner < members ? owner : members - 1;
        if (owner == member && *first == stage->last)
            *first = i;
        if (owner == member)
            *last = i + 1;
        before += flops;
    }
}

/* Whether members may take layers of the stage: each needs only the block before its own of the layer before. */
static int can_go_by_layers(const le_model *model, const le_stage *stage)
{
    if (stage->axis < 0)
        return 0;
    for (int i = stage->first; i < stage->last; i++)
        if (le_op_whole(&model->ops[i]))
            return 0;
    return 1;
}

/* Whether layers are a fair partition: two or more that take about the same, in the stage that nearly all the work is in,
 * many steps, and each layer's weights in its core's cache. Then nobody waits within a block, where sharing units costs a
 * barrier at every step. */
static int layers_pay(const le_model *model, const le_run *run, int members)
{
    enum { LEAST_STEPS = 64 };
    const double all = total_flops(model, run);
    for (int s = 0; s < model->stage_count; s++) {
        const le_stage *stage = &model->stages[s];
        const size_t steps = stage->axis < 0 ? 1 : run->axes[stage->axis].steps;
        if (stage->flops * (double)run->batch * (double)steps < 0.9 * all)
            continue;
        double largest = 0;
        for (int m = 0; m < members; m++) {
            int first, last;
            double own = 0;
            le_stage_share(model, stage, m, members, &first, &last);
            for (int i = first; i < last; i++)
                own += le_op_flops(model, &model->ops[i]);
            largest = own > largest ? own : largest;
        }
        return steps >= LEAST_STEPS && can_go_by_layers(model, stage) && largest < 0.6 * stage->flops;
    }
    return 0;
}

/* Whether sharing units spares more than the barriers cost with which every phase of a step ends (docs/performance.md). */
static int barriers_pay(const le_model *model, const le_run *run, int members)
{
    const double flops_of_a_barrier = 85e3;
    double flops = 0, barriers = 0;
    for (int i = 0; i < model->op_count; i++) {
        const le_op *op = &model->ops[i];
        if (op->kind != LE_OP_RECURRENT)
            continue;
        const le_recurrent_layer *layer = &op->as.recurrent;
        flops += le_op_flops(model, op) * (double)run->batch;
        barriers += members / layer->dirs > 1 ? layer->direction[0].phases : 0;
    }
    return flops >= barriers * flops_of_a_barrier;
}

/* How many members can share a step of every recurrent layer. */
static int smallest_panels(const le_model *model)
{
    size_t smallest = INT32_MAX;
    for (int i = 0; i < model->op_count; i++)
        if (model->ops[i].kind == LE_OP_RECURRENT && le_recurrent_panels(&model->ops[i].as.recurrent) < smallest)
            smallest = le_recurrent_panels(&model->ops[i].as.recurrent);
    return (int)smallest;
}

/* Rows of a group at least: what the tiles of its products take. */
static size_t least_rows_of(const le_model *model, size_t least)
{
    for (int i = 0; i < model->op_count; i++) {
        const le_op *op = &model->ops[i];
        const size_t wanted = op->kind == LE_OP_RECURRENT ? op->as.recurrent.products->rows
                              : op->kind == LE_OP_DENSE   ? op->as.dense.products->rows
                                                          : 0;
        least = wanted > least ? wanted : least;
    }
    return least;
}

/* Groups of rows. One a thread where a call is short; else as many as let threads that are kept from their cores for a
 * while leave the rest to others: eight a thread, each with arithmetic enough to forget its beginning, and rows enough
 * for the tiles, or for the weights' way from the last cache to hide behind. */
static int row_groups(const le_model *model, const le_run *run, int threads)
{
    const double flops_of_a_group = 8e7;
    const size_t least_rows = least_rows_of(model, step_bytes(model, run) <= 2 * (double)le_cpu_l2_bytes() ? 8 : 16);
    size_t groups = 8 * (size_t)threads;
    groups = run->batch / least_rows < groups ? run->batch / least_rows : groups;
    const double enough = total_flops(model, run) / flops_of_a_group;
    groups = enough < (double)groups ? (size_t)enough : groups;
    groups -= groups % (size_t)threads; /* on a quiet machine all end together */
    if (groups >= (size_t)threads)
        return (int)groups;
    return run->batch < (size_t)threads ? (int)run->batch : threads;
}

typedef struct partition {
    int groups, members, by_layers;
} partition;

static int threads_at_most(const le_model *model, const le_run *run)
{
    if (model->gemm == LE_GEMM_BLAS)
        return 1; /* a BLAS brings its own threads */
    return run->threads < LE_TEAM_MOST ? run->threads : LE_TEAM_MOST;
}

static partition choose_partition(const le_model *model, const le_run *run, int threads)
{
    if (threads <= 1 || run->batch == 0)
        return (partition){1, 1, 0};
    const int resident = step_bytes(model, run) < LE_RESIDENT_SHARE * (double)le_cpu_l2_bytes();
    const partition rows = {row_groups(model, run, threads), 1, 0};
    if (run->split == LE_SPLIT_ROWS)
        return rows;
    const int units = smallest_panels(model) < threads ? smallest_panels(model) : threads;
    if (run->split == LE_SPLIT_UNITS)
        return (partition){1, units > 1 ? units : 1, 0};
    if (run->split == LE_SPLIT_LAYERS)
        return (partition){1, threads, 1};
    if (total_flops(model, run) < LE_SMALL_FLOPS && resident)
        return (partition){1, 1, 0};
    /* Rows are partitioned where there are enough of them: no thread ever waits for another. Units are where rows are
     * few, or where the weights of one step do not stay in a core's cache: then each core keeps its own half there. With
     * many rows the weights come in beside the arithmetic anyway (H = 1024, B = 128: 233 against 214 GFLOP/s a core). */
    const size_t enough = resident || units < threads ? 2 : LE_HIDING_ROWS;
    if (run->batch >= enough * (size_t)threads)
        return rows;
    const int layers = units >= threads && resident && layers_pay(model, run, threads);
    if (layers || (units >= threads && barriers_pay(model, run, threads)))
        return (partition){1, threads, layers};
    return rows;
}

/* Whether a later operation of the stage reads `value`: what only leaves the model need not stay in the cache. */
static int read_in_stage(const le_model *model, const le_stage *stage, le_value value)
{
    for (int i = stage->first; i < stage->last; i++)
        if (value != LE_NONE && model->ops[i].x == value)
            return 1;
    return 0;
}

/* Members that follow each other through the layers wait a block at the beginning and at the end, and at a barrier after
 * each: at most a sixteenth of the time, and no longer than the barrier is small beside it, but two full tiles for the inputs' product. */
static size_t layers_block(const le_stage *stage, size_t rows, size_t steps, int members)
{
    const double flops_of_a_block = 2e6, flops = stage->flops * (double)(rows ? rows : 1) / members;
    const size_t least = 12, most = (steps + 15) / 16;
    const size_t enough = flops * (double)most > flops_of_a_block ? (size_t)(flops_of_a_block / flops) : most;
    return most < least ? most : enough > least ? enough : least;
}

static size_t choose_block(const le_model *model, const le_run *run, const le_stage *stage, size_t rows, int members,
                           int by_layers)
{
    const size_t steps = stage->axis < 0 ? 1 : run->axes[stage->axis].steps;
    const int sharing = by_layers ? 1 : members;
    /* An axis of no steps has blocks of one, which nobody takes: others count how many blocks go into the steps. */
    if (steps == 0)
        return 1;
    if (run->block_steps > 0)
        return run->block_steps < steps ? run->block_steps : steps;
    /* What a step adds to the block: projected inputs of a member's own panels, and the rows themselves. */
    size_t bytes = 1;
    for (int i = stage->first; i < stage->last; i++) {
        const le_op *op = &model->ops[i];
        size_t width = read_in_stage(model, stage, op->y) ? model->values[op->y].features : 0;
        if (op->kind == LE_OP_RECURRENT)
            width += (size_t)op->as.recurrent.gates * op->as.recurrent.lanes_hidden / (size_t)sharing;
        else if (model->values[op->x].features > width)
            width = model->values[op->x].features;
        width *= model->element * (rows ? rows : 1);
        bytes = width > bytes ? width : bytes;
    }
    /* A quarter of L2, the weights need the rest; half of it where they do not fit anyway and every block streams them
     * once more. */
    const size_t l2 = le_cpu_l2_bytes();
    size_t block = (2 * step_bytes(model, run) > (double)l2 ? l2 / 2 : l2 / 4) / bytes;
    if (by_layers && block > layers_block(stage, rows, steps, members))
        block = layers_block(stage, rows, steps, members);
    block = block < 1 ? 1 : block;
    return block < steps ? block : steps;
}

/* Whether a member's share of a layer's weights does not stay in its cache from step to step. */
static int choose_fetch(const le_op *op, const le_run *run, size_t block_steps, int members)
{
    double bytes;
    if (op->kind == LE_OP_DENSE)
        bytes = (double)le_dense_bytes(&op->as.dense);
    else if (block_steps > 1)
        bytes = (double)le_recurrent_step_bytes(&op->as.recurrent);
    else
        bytes = single_bytes(op, run);
    return bytes / members > LE_RESIDENT_SHARE * (double)le_cpu_l2_bytes();
}

/* The weights of x are read once a block; between two blocks all steps of one go through the weights of h. */
static int choose_fetch_inputs(const le_op *op, int fetch, int members)
{
    return fetch || (double)le_recurrent_bytes(&op->as.recurrent) / members > LE_RESIDENT_SHARE * (double)le_cpu_l2_bytes();
}

/* Whether a Dense layer's output would push everything else out of the cache. */
static int choose_past_cache(const le_model *model, const le_run *run, const le_op *op)
{
    const le_value_info *y = &model->values[op->y];
    const double steps = y->rank == LE_SEQUENCE ? (double)run->axes[y->axis].steps : 1;
    return y->output >= 0 && run->outputs[y->output] != NULL &&
           steps * (double)run->batch * (double)(y->features * model->element) > 4 * (double)le_cpu_l2_bytes();
}

void le_schedule_decide(const le_model *model, const le_run *run, le_schedule *schedule)
{
    const double flops_a_ns = 100;
    const int threads = threads_at_most(model, run);
    const partition chosen = choose_partition(model, run, threads);
    schedule->groups = chosen.groups;
    schedule->members = chosen.members;
    schedule->threads = chosen.members > 1 ? chosen.members : chosen.groups < threads ? chosen.groups : threads;
    const double alone = total_flops(model, run) / flops_a_ns;
    schedule->alone_ns = alone < 1e18 ? (int64_t)alone : (int64_t)1e18;
    const size_t rows = (run->batch + (size_t)chosen.groups - 1) / (size_t)chosen.groups;
    for (int s = 0; s < model->stage_count; s++) {
        const le_stage *stage = &model->stages[s];
        const int by_layers = chosen.by_layers && can_go_by_layers(model, stage), members = by_layers ? 1 : chosen.members;
        const size_t block = choose_block(model, run, stage, rows, chosen.members, by_layers);
        schedule->stages[s] = (le_stage_schedule){block, by_layers};
        for (int i = stage->first; i < stage->last; i++) {
            const le_op *op = &model->ops[i];
            le_op_schedule own = {.members = members};
            if (op->kind == LE_OP_RECURRENT || op->kind == LE_OP_DENSE)
                own.fetch = choose_fetch(op, run, block, members);
            if (op->kind == LE_OP_RECURRENT)
                own.fetch_inputs = choose_fetch_inputs(op, own.fetch, members);
            if (op->kind == LE_OP_DENSE)
                own.past_cache = choose_past_cache(model, run, op);
            schedule->ops[i] = own;
        }
    }
}
