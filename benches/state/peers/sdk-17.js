export * from "lix-sdk-17"
