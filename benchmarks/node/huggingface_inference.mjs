// Hugging Face's own client for JavaScript.
import { InferenceClient } from "@huggingface/inference";

export const PACKAGE = "@huggingface/inference";

export class Async {
  constructor(address) {
    this.client = new InferenceClient("-");
    this.endpointUrl = address;
  }

  async stream(prompt, onToken) {
    const request = { endpointUrl: this.endpointUrl, inputs: prompt };
    // It asks for what OpenAI's interface answers, whatever its types say.
    for await (const event of this.client.textGenerationStream(request)) {
      onToken(event.choices[0].text);
    }
  }

  async run(prompt) {
    return this.client.textGeneration({ endpointUrl: this.endpointUrl, inputs: prompt });
  }
}
