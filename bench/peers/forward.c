// The forward pass of a LLaMA with f32 weights, as plain C that the compiler turns into vector instructions: what a
// program made for one model and one machine does. One token at a time, greedy, keys and values of every position kept.
//   cc -Ofast -fopenmp -march=native forward.c -o forward -lm
//   OMP_NUM_THREADS=2 ./forward <weights> <new tokens> <id>...
// Prints one JSON object: the new ids, and milliseconds per token (median of the new ones). forward.ts makes the weights.
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The file begins with these numbers.
typedef struct {
  int dim, inner, layers, heads, kv_heads, head_dim, vocab, positions;
  float eps, theta;
} Config;

typedef struct {
  float *attention_norm; // [dim]
  float *q;              // [heads * head_dim][dim]
  float *k, *v;          // [kv_heads * head_dim][dim]
  float *o;              // [dim][heads * head_dim]
  float *mlp_norm;       // [dim]
  float *gate, *up;      // [inner][dim]
  float *down;           // [dim][inner]
} Layer;

static Config c;
static Layer *layers;             // [layers]
static float *table, *norm;       // [vocab][dim], also the head; [dim]
static float *cosine, *sine;      // [positions][head_dim / 2]
static float *keys, *values;      // [layers][positions][kv_heads * head_dim]
static float *hidden;             // [dim]
static float *query, *attended;   // [heads * head_dim]
static float *gated;              // [inner]
static float *logits;             // [vocab]

static void fail(const char *why) {
  fprintf(stderr, "forward: %s\n", why);
  exit(1);
}

static float *allocate(size_t count) {
  float *memory = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
  if (!memory) fail("out of memory");
  memset(memory, 0, count * sizeof(float));
  return memory;
}

static float *read_floats(FILE *file, size_t count) {
  float *floats = allocate(count);
  if (fread(floats, sizeof(float), count, file) != count) fail("the file of weights is too short");
  return floats;
}

static void load(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fread(&c, sizeof c, 1, file) != 1) fail("cannot read the file of weights");
  size_t dim = c.dim, inner = c.inner, wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
  if (dim % 4 || inner % 4 || wide % 4 || narrow % 4 || c.vocab % 4) fail("matrices must have rows in fours");
  table = read_floats(file, c.vocab * dim);
  layers = malloc(c.layers * sizeof(Layer));
  for (int i = 0; i < c.layers; i++) {
    Layer *l = &layers[i];
    l->attention_norm = read_floats(file, dim);
    l->q = read_floats(file, wide * dim);
    l->k = read_floats(file, narrow * dim);
    l->v = read_floats(file, narrow * dim);
    l->o = read_floats(file, dim * wide);
    l->mlp_norm = read_floats(file, dim);
    l->gate = read_floats(file, inner * dim);
    l->up = read_floats(file, inner * dim);
    l->down = read_floats(file, dim * inner);
  }
  norm = read_floats(file, dim);
  fclose(file);

  int half = c.head_dim / 2;
  cosine = allocate((size_t)c.positions * half);
  sine = allocate((size_t)c.positions * half);
  for (int p = 0; p < c.positions; p++)
    for (int i = 0; i < half; i++) {
      double angle = p * pow(c.theta, -2.0 * i / c.head_dim);
      cosine[p * half + i] = cos(angle);
      sine[p * half + i] = sin(angle);
    }
  keys = allocate(c.layers * c.positions * narrow);
  values = allocate(c.layers * c.positions * narrow);
  hidden = allocate(dim);
  query = allocate(wide);
  attended = allocate(wide);
  gated = allocate(inner);
  logits = allocate(c.vocab);
}

static void rms_norm(float *y, const float *x, const float *weight) {
  float sum = 0;
  for (int i = 0; i < c.dim; i++) sum += x[i] * x[i];
  float scale = 1 / sqrtf(sum / c.dim + c.eps);
  for (int i = 0; i < c.dim; i++) y[i] = x[i] * scale * weight[i];
}

// Four rows of a matrix at once: one accumulator would leave the processor waiting for its own sums.
static void dot4(float *restrict y, const float *restrict x, const float *restrict w, int columns) {
  const float *w1 = w + columns, *w2 = w1 + columns, *w3 = w2 + columns;
  float a = 0, b = 0, d = 0, e = 0;
  for (int j = 0; j < columns; j++) {
    a += w[j] * x[j];
    b += w1[j] * x[j];
    d += w2[j] * x[j];
    e += w3[j] * x[j];
  }
  y[0] = a;
  y[1] = b;
  y[2] = d;
  y[3] = e;
}

// The following are called by every thread of the team; each takes its share of the rows and waits at the end.

static void matmul(float *y, const float *x, const float *w, int rows, int columns) {
#pragma omp for
  for (int i = 0; i < rows; i += 4) dot4(y + i, x, w + (size_t)i * columns, columns);
}

static void add_matmul(float *y, const float *x, const float *w, int rows, int columns) {
#pragma omp for
  for (int i = 0; i < rows; i += 4) {
    float sum[4];
    dot4(sum, x, w + (size_t)i * columns, columns);
    for (int r = 0; r < 4; r++) y[i + r] += sum[r];
  }
}

static void project(const Layer *l, const float *x, float *key, float *value) {
  int wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
#pragma omp for
  for (int i = 0; i < wide + 2 * narrow; i += 4) {
    int k = i - wide, v = k - narrow;
    if (k < 0) dot4(query + i, x, l->q + (size_t)i * c.dim, c.dim);
    else if (v < 0) dot4(key + k, x, l->k + (size_t)k * c.dim, c.dim);
    else dot4(value + v, x, l->v + (size_t)v * c.dim, c.dim);
  }
}

static void rotate(float *key, int position) {
  int half = c.head_dim / 2;
  const float *cs = cosine + position * half, *sn = sine + position * half;
#pragma omp for
  for (int h = 0; h < c.heads + c.kv_heads; h++) {
    float *x = h < c.heads ? query + h * c.head_dim : key + (h - c.heads) * c.head_dim;
    for (int i = 0; i < half; i++) {
      float a = x[i], b = x[i + half];
      x[i] = a * cs[i] - b * sn[i];
      x[i + half] = b * cs[i] + a * sn[i];
    }
  }
}

static void attend(const float *all_keys, const float *all_values, int position) {
  int narrow = c.kv_heads * c.head_dim;
  float scale = 1 / sqrtf(c.head_dim);
#pragma omp for
  for (int h = 0; h < c.heads; h++) {
    const float *q = query + h * c.head_dim;
    size_t head = h / (c.heads / c.kv_heads) * c.head_dim;
    float *y = attended + h * c.head_dim, scores[c.positions], most = -INFINITY, sum = 0;
    for (int t = 0; t <= position; t++) {
      const float *k = all_keys + (size_t)t * narrow + head;
      float score = 0;
      for (int i = 0; i < c.head_dim; i++) score += q[i] * k[i];
      scores[t] = score * scale;
      if (scores[t] > most) most = scores[t];
    }
    for (int t = 0; t <= position; t++) sum += scores[t] = expf(scores[t] - most);
    for (int i = 0; i < c.head_dim; i++) y[i] = 0;
    for (int t = 0; t <= position; t++) {
      const float *v = all_values + (size_t)t * narrow + head;
      float weight = scores[t] / sum;
      for (int i = 0; i < c.head_dim; i++) y[i] += weight * v[i];
    }
  }
}

static void gate_up(const Layer *l, const float *x) {
#pragma omp for
  for (int i = 0; i < c.inner; i += 4) {
    float gate[4], up[4];
    dot4(gate, x, l->gate + (size_t)i * c.dim, c.dim);
    dot4(up, x, l->up + (size_t)i * c.dim, c.dim);
    for (int r = 0; r < 4; r++) gated[i + r] = gate[r] / (1 + expf(-gate[r])) * up[r];
  }
}

static void forward(int token, int position) {
  float normed[c.dim]; // every thread makes its own
#pragma omp for
  for (int i = 0; i < c.dim; i++) hidden[i] = table[(size_t)token * c.dim + i];
  for (int i = 0; i < c.layers; i++) {
    const Layer *l = &layers[i];
    size_t narrow = c.kv_heads * c.head_dim;
    float *layer_keys = keys + i * c.positions * narrow, *layer_values = values + i * c.positions * narrow;
    float *key = layer_keys + position * narrow;
    rms_norm(normed, hidden, l->attention_norm);
    project(l, normed, key, layer_values + position * narrow);
    rotate(key, position);
    attend(layer_keys, layer_values, position);
    add_matmul(hidden, attended, l->o, c.dim, c.heads * c.head_dim);
    rms_norm(normed, hidden, l->mlp_norm);
    gate_up(l, normed);
    add_matmul(hidden, gated, l->down, c.dim, c.inner);
  }
  rms_norm(normed, hidden, norm);
  matmul(logits, normed, table, c.vocab, c.dim);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc < 4) fail("usage: forward <weights> <new tokens> <id>...");
  load(argv[1]);
  int fresh = atoi(argv[2]), prompt = argc - 3, total = prompt + fresh;
  if (fresh < 1 || total > c.positions) fail("as many tokens do not fit in the model's positions");
  int *ids = malloc((total + 1) * sizeof(int));
  double *times = malloc(total * sizeof(double));
  for (int i = 0; i < prompt; i++) {
    ids[i] = atoi(argv[3 + i]);
    if (ids[i] < 0 || ids[i] >= c.vocab) fail("an id outside the vocabulary");
  }
#pragma omp parallel
  for (int p = 0; p < total; p++) {
    double begun = omp_get_wtime();
    forward(ids[p], p);
#pragma omp single
    {
      int best = 0;
      for (int i = 1; i < c.vocab; i++)
        if (logits[i] > logits[best]) best = i;
      if (p + 1 >= prompt) ids[p + 1] = best;
      times[p] = 1000 * (omp_get_wtime() - begun);
    }
  }
  printf("{\"ids\":[");
  for (int i = 0; i < fresh; i++) printf("%s%d", i ? "," : "", ids[prompt + i]);
  qsort(times + prompt, fresh, sizeof(double), compare);
  printf("],\"ms\":%.4f}\n", times[prompt + fresh / 2]);
  return 0;
}
