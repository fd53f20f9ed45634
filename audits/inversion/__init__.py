"""What a server can read of the texts out of an opened LoRA update.

A low-rank layer y = W x + (alpha / r) B A x, with A (r, d) and B (o, r), has the gradients

    grad A = (alpha / r) sum over t of (B^T delta_t) x_t^T,
    grad B = (alpha / r) sum over t of delta_t (A x_t)^T,

delta_t being the loss's gradient at the layer's output, and x_t what enters it at token t. So the
rows of grad A (r, d) lie in the span of the inputs, those of grad B (o, r) in the span of their
images under A, whatever the loss is. At the start B is 0: the first gradient of A is then 0 while
that of B is not. Sums over records, steps of plain gradient descent and sites keep this form; an
optimiser that scales each coordinate by itself (Adam) does not, and noise does not.

- `row_space`: the visible span, and how far a vector is from it.
- `token_inversion`: which tokens lie in it; exact while the inputs are fewer than the rank.
- `meters`: how near a round's sums come to that, from the sums and public counts alone.
- `gradient_inversion`: for contrast, a search for inputs whose gradient points the same way.

What attention hides of itself: a softmax does not change when all its inputs shift, so the deltas
of keys sum to 0 over a text (but for keys that are turned by their position, as in a Llama), and
their span is one of differences of inputs, in which no input lies. A token whose delta is 0 leaves
no trace, as the last position of a decoder, on which no loss depends, and the first through
queries, which has one key to choose from. Values show every other token.
"""
