// @axflow/models, whose design hfgen follows.
import { HuggingFaceTextGeneration } from "@axflow/models/huggingface/text-generation";
import { StreamToIterable } from "@axflow/models/shared";

export const PACKAGE = "@axflow/models";

export class Async {
  constructor(address) {
    this.options = { apiUrl: `${address}/generate_stream` };
    this.whole = { apiUrl: `${address}/generate` };
  }

  async stream(prompt, onToken) {
    const request = { model: "x", inputs: prompt };
    const stream = await HuggingFaceTextGeneration.streamTokens(request, this.options);
    for await (const text of StreamToIterable(stream)) onToken(text);
  }

  async run(prompt) {
    return HuggingFaceTextGeneration.run({ model: "x", inputs: prompt }, this.whole);
  }
}
