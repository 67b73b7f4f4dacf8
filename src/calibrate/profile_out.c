/* SPDX-License-Identifier: MIT */
/* Sections of the file and the measurements they hold. A measurement done again replaces its
 * entry; what a section holds of other GPUs' or programs' making stays as it is. Malformed
 * entries are left to the simulator's reader, which names them. */
#include "profile_out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The section of each kind of measurement; sustained loops add to the kernels' entries. */
static const char *const sections[N_MEASURE_KINDS] = {
    [MEASURE_KERNEL] = "kernels",
    [MEASURE_SUSTAINED] = "kernels",
    [MEASURE_INTERFERENCE] = "interference",
    [MEASURE_CHAIN] = "factors",
    [MEASURE_LAUNCH] = "launch",
    [MEASURE_TRANSFER] = "transfers",
    [MEASURE_COLLECTIVE] = "collectives",
};

static const char *const section_order[] = {"kernels", "absent",    "interference", "factors",
                                            "launch",  "transfers", "collectives"};

static json_t *section(const ProfileOut *out, const char *name)
{
    json_t *array = json_object_get(out->root, name);
    if (array)
        return array;
    array = json_array();
    json_object_set_new(out->root, name, array);
    return array;
}

static json_t *begin(const char *gpu)
{
    return json_pack("{s:s, s:i, s:s, s:{}, s:{}, s:[]}", "format", "zerosim-profile",
                     "version", 1, "gpu", gpu, "facts", "provenance", "kernels");
}

static bool check(const ProfileOut *out, const char *gpu, char *message, size_t size)
{
    const char *format = json_string_value(json_object_get(out->root, "format"));
    const char *name = json_string_value(json_object_get(out->root, "gpu"));
    if (!format || strcmp(format, "zerosim-profile") != 0 || !name ||
        !json_is_object(json_object_get(out->root, "facts"))) {
        snprintf(message, size,
                 "%s: isn't a profile (format, gpu, facts); give another --output", out->file);
        return false;
    }
    for (size_t i = 0; i < sizeof section_order / sizeof *section_order; i++) {
        const json_t *value = json_object_get(out->root, section_order[i]);
        if (value && !json_is_array(value)) {
            snprintf(message, size, "%s: %s: must be an array", out->file, section_order[i]);
            return false;
        }
    }
    if (strcmp(name, gpu) == 0)
        return true;
    snprintf(message, size, "%s: is the profile of %s, and this is %s; give another --output",
             out->file, name, gpu);
    return false;
}

/* -- where an entry stands: an object of each section's keys and positions */

#define KEY_SIZE 256
#define ABSENT "absent"

/* What couldn't be measured stands in one section, whatever its kind. */
static void key_of(const char *section_name, const Measurement *m, char *key, size_t size)
{
    const bool absent = strcmp(section_name, ABSENT) == 0;
    const int n = absent ? snprintf(key, size, "%s ", plan_kind_name(m->kind)) : 0;
    plan_describe(m, key + n, size - (size_t)n);
}

static void set_place(json_t *index, const char *section_name, const char *key, size_t at)
{
    json_t *places = json_object_get(index, section_name);
    if (!places) {
        places = json_object();
        json_object_set_new(index, section_name, places);
    }
    json_object_set_new(places, key, json_integer((json_int_t)at));
}

static int name_index(const char *name, const char *(*name_of)(int), int n)
{
    int i = 0;
    while (i < n && !(name && strcmp(name, name_of(i)) == 0))
        i++;
    return i;
}

static const char *type_name(int type)
{
    return plan_type_name((Type)type);
}

static const char *kind_name(int kind)
{
    return plan_kind_name((MeasureKind)kind);
}

/* False: no operation of the plan, or not its dimensions. */
static bool measurement_of(const json_t *entry, Measurement *m)
{
    const char *op = json_string_value(json_object_get(entry, "op"));
    const char *kind = json_string_value(json_object_get(entry, "measurement"));
    const json_t *shape = json_object_get(entry, "dimensions");
    const int type =
        name_index(json_string_value(json_object_get(entry, "dtype")), type_name, N_TYPES);
    *m = (Measurement){
        .kind = (MeasureKind)name_index(kind ? kind : "kernel", kind_name, N_MEASURE_KINDS),
        .op = op ? plan_op_find(op) : NULL,
        .type = (Type)type};
    if (!m->op || m->type == N_TYPES || m->kind == N_MEASURE_KINDS ||
        json_object_size(shape) != plan_n_dimensions(m->op))
        return false;
    for (size_t i = 0; i < plan_n_dimensions(m->op); i++) {
        const json_t *value = json_object_get(shape, m->op->dimensions[i]);
        if (!json_is_integer(value))
            return false;
        m->dimension[i] = json_integer_value(value);
    }
    return true;
}

static void index_all(ProfileOut *out)
{
    char key[KEY_SIZE];
    Measurement m;
    for (size_t s = 0; s < sizeof section_order / sizeof *section_order; s++) {
        const json_t *array = json_object_get(out->root, section_order[s]);
        for (size_t i = 0; i < json_array_size(array); i++) {
            if (!measurement_of(json_array_get(array, i), &m))
                continue;
            key_of(section_order[s], &m, key, sizeof key);
            set_place(out->index, section_order[s], key, i);
        }
    }
}

/* NULL: no such entry. */
static json_t *find(const ProfileOut *out, const char *section_name, const Measurement *m)
{
    char key[KEY_SIZE];
    key_of(section_name, m, key, sizeof key);
    const json_t *at = json_object_get(json_object_get(out->index, section_name), key);
    return at ? json_array_get(json_object_get(out->root, section_name),
                               (size_t)json_integer_value(at))
              : NULL;
}

static void put(ProfileOut *out, const char *section_name, const Measurement *m, json_t *entry)
{
    char key[KEY_SIZE];
    json_t *array = section(out, section_name);
    key_of(section_name, m, key, sizeof key);
    const json_t *at = json_object_get(json_object_get(out->index, section_name), key);
    if (at) {
        json_array_set_new(array, (size_t)json_integer_value(at), entry);
        return;
    }
    set_place(out->index, section_name, key, json_array_size(array));
    json_array_append_new(array, entry);
}

/* -- the file */

bool profile_out_open(ProfileOut *out, const char *file, const char *gpu, char *message,
                      size_t size)
{
    json_error_t error;
    out->file = strdup(file);
    out->root = NULL;
    out->run = NULL;
    out->index = json_object();
    if (access(file, F_OK) != 0) {
        out->root = begin(gpu);
        return true;
    }
    out->root = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
    if (!out->root) {
        snprintf(message, size, "%s: line %d: %s", file, error.line, error.text);
        return false;
    }
    if (!check(out, gpu, message, size))
        return false;
    json_object_set_new(out->root, "kernels",
                        profile_rows_unpack(json_object_get(out->root, "kernels")));
    index_all(out);
    return true;
}

void profile_out_close(ProfileOut *out)
{
    json_decref(out->root);
    json_decref(out->index);
    free(out->file);
}

bool profile_out_has(const ProfileOut *out, const Measurement *m)
{
    const json_t *entry = find(out, sections[m->kind], m);
    const bool has = m->kind == MEASURE_SUSTAINED
                         ? json_object_get(entry, "sustained_s") != NULL
                         : entry != NULL;
    return has || find(out, ABSENT, m) != NULL;
}

static json_t *dimensions(const Measurement *m)
{
    json_t *object = json_object();
    for (size_t i = 0; i < plan_n_dimensions(m->op); i++)
        json_object_set_new(object, m->op->dimensions[i], json_integer(m->dimension[i]));
    return object;
}

static json_t *entry_of(const Measurement *m)
{
    return json_pack("{s:s, s:s, s:o}", "op", m->op->name, "dtype", plan_type_name(m->type),
                     "dimensions", dimensions(m));
}

static void add_times(json_t *entry, const Measurement *m, const Result *result)
{
    json_object_set_new(entry, "time_s", json_real(result->time_s));
    json_object_set_new(entry, "p10_s", json_real(result->p10_s));
    json_object_set_new(entry, "p90_s", json_real(result->p90_s));
    if (result->sustained_s > 0)
        json_object_set_new(entry, "sustained_s", json_real(result->sustained_s));
    for (int i = 0; i < result->n_values; i++)
        json_object_set_new(entry, result->values[i].name, json_real(result->values[i].value));
    json_object_set_new(entry, "implementation", json_string(result->implementation));
    if (m->probe)
        json_object_set_new(entry, "probe", json_true());
}

/* A loop's time joins the entry that its burst has; a probe stays one. */
static void keep_flags(const ProfileOut *out, const Measurement *m, json_t *entry)
{
    const json_t *old = find(out, sections[m->kind], m);
    json_t *sustained = json_object_get(old, "sustained_s");
    if (json_object_get(old, "probe"))
        json_object_set_new(entry, "probe", json_true());
    if (sustained && !json_object_get(entry, "sustained_s"))
        json_object_set(entry, "sustained_s", sustained);
}

void profile_out_add(ProfileOut *out, const Measurement *m, const Result *result)
{
    json_t *entry = entry_of(m);
    if (result->status != RESULT_MEASURED) {
        const char *what = result->status == RESULT_WRONG ? "wrong result" : "absent";
        json_object_set_new(entry, "status", json_string(what));
        json_object_set_new(entry, "reason", json_string(result->reason));
        if (m->kind != MEASURE_KERNEL)
            json_object_set_new(entry, "measurement", json_string(plan_kind_name(m->kind)));
        put(out, ABSENT, m, entry);
        return;
    }
    add_times(entry, m, result);
    if (m->kind == MEASURE_KERNEL || m->kind == MEASURE_SUSTAINED)
        keep_flags(out, m, entry);
    put(out, sections[m->kind], m, entry);
}

/* Names, versions and numbers; nothing of whose machine it is. */
static json_t *run_record(const Machine *m, const char *command_line)
{
    char date[32];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%d", &utc);
    json_t *run = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "date", date, "command_line",
                            command_line, "driver", m->driver, "cuda", m->cuda, "cublaslt",
                            m->cublaslt, "cudnn", m->cudnn, "nccl", m->nccl);
    json_object_set_new(run, "device", json_string(m->name));
    json_object_set_new(run, "n_gpus", json_integer(m->n_gpus));
    json_object_set_new(run, "power_limit_w", json_real(m->power_limit_w));
    json_object_set_new(run, "temperature_c", json_real(m->temperature_c));
    json_object_set_new(run, "sm_clock_hz", json_real(m->sm_clock_hz));
    json_object_set_new(run, "max_sm_clock_hz", json_real(m->max_sm_clock_hz));
    json_object_set_new(run, "max_memory_clock_hz", json_real(m->max_memory_clock_hz));
    return run;
}

void profile_out_describe(ProfileOut *out, const Machine *machine, const char *command_line)
{
    json_t *provenance = json_object_get(out->root, "provenance");
    if (!json_is_object(provenance)) {
        provenance = json_object();
        json_object_set_new(out->root, "provenance", provenance);
    }
    json_object_set_new(provenance, "kind", json_string("measured"));
    json_object_set_new(provenance, "program", json_string("zerosim-calibrate"));
    json_object_del(provenance, "note");
    json_t *runs = json_object_get(provenance, "runs");
    if (!runs) {
        runs = json_array();
        json_object_set_new(provenance, "runs", runs);
    }
    json_t *record = run_record(machine, command_line);
    if (out->run) {
        json_object_update(out->run, record);
        json_decref(record);
    } else {
        out->run = record;
        json_array_append_new(runs, record);
    }
    profile_facts_set(json_object_get(out->root, "facts"), section(out, "kernels"),
                      json_object_get(out->root, "launch"), machine);
}

static void write_value(FILE *file, const char *name, const json_t *value, bool last)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    fprintf(file, "  \"%s\": %s%s\n", name, text ? text : "null", last ? "" : ",");
    free(text);
}

/* One entry a line, so that a version-control difference shows what changed. */
static void write_lines(FILE *file, const char *name, const json_t *value, bool last)
{
    const bool object = json_is_object(value);
    const size_t n = object ? json_object_size(value) : json_array_size(value);
    void *iterator = object ? json_object_iter((json_t *)value) : NULL;
    fprintf(file, "  \"%s\": %c\n", name, object ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        const json_t *item =
            object ? json_object_iter_value(iterator) : json_array_get(value, i);
        fputs("    ", file);
        if (object)
            fprintf(file, "\"%s\": ", json_object_iter_key(iterator));
        profile_rows_write(file, item);
        fputs(i + 1 < n ? ",\n" : "\n", file);
        if (object)
            iterator = json_object_iter_next((json_t *)value, iterator);
    }
    fprintf(file, "  %c%s\n", object ? '}' : ']', last ? "" : ",");
}

static void write_tables(FILE *file, const json_t *kernels, bool last)
{
    json_t *tables = profile_rows_pack(kernels);
    write_lines(file, "kernels", tables, last);
    json_decref(tables);
}

static bool write_all(FILE *file, const json_t *root)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t left = json_object_size(root);
    fputs("{\n", file);
    json_object_foreach((json_t *)root, key, value)
    {
        left--;
        if (strcmp(key, "kernels") == 0)
            write_tables(file, value, left == 0);
        else if (json_is_array(value) || json_is_object(value))
            write_lines(file, key, value, left == 0);
        else
            write_value(file, key, value, left == 0);
    }
    fputs("}\n", file);
    return fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
}

bool profile_out_write(const ProfileOut *out, char *message, size_t size)
{
    char temporary[4096];
    const int n = snprintf(temporary, sizeof temporary, "%s.part", out->file);
    FILE *file = n < (int)sizeof temporary ? fopen(temporary, "w") : NULL;
    bool written = file && write_all(file, out->root);
    if (file && fclose(file) != 0)
        written = false;
    if (written && rename(temporary, out->file) == 0)
        return true;
    snprintf(message, size, "%.3000s: can't be written: %s", out->file, strerror(errno));
    if (file)
        unlink(temporary);
    return false;
}
